/**
 * The thread behind the drafters 'lm' and 'head': a draft model, and what waits for it (draft-jobs.ts), so that neither
 * reading nor preparing holds up a draft that somebody waits for by more than one pass.
 * Protocol: plain messages of the types below; every 'draft' gets exactly one answer, a 'prepare' any number.
 */
import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { createDraftJobs, type DraftJob, type Job, type PrepareJob, type ReadJob } from './draft-jobs.ts';
import { createDraftModel, type Drafted } from './draft-model.ts';
import type { DraftModelOptions } from './draft-reader.ts';
import type { OutcomeDraft } from './outcome-drafts.ts';

export type ToLmThread =
  | Job
  | { readonly type: 'close'; readonly sequence: string }
  | { readonly type: 'learn'; readonly sequence: string; readonly from: number; readonly ids: Uint32Array };

export type FromLmThread =
  | { readonly type: 'ready' }
  | { readonly type: 'draft'; readonly request: number; readonly drafted: Drafted }
  | { readonly type: 'outcome'; readonly request: number; readonly drafted: OutcomeDraft }
  | { readonly type: 'failure'; readonly request: number; readonly message: string };

const port = parentPort!;
const model = await createDraftModel(workerData as DraftModelOptions);
const jobs = createDraftJobs();
let wake = (): void => {};

port.on('message', (message: ToLmThread) => {
  // What a sequence says, and that it is over, is known at once, whatever waits.
  if (message.type === 'learn') return model.learn(message.sequence, message.from, message.ids);
  if (message.type === 'close') {
    jobs.drop(message.sequence);
    return model.close(message.sequence);
  }
  jobs.push(message);
  wake();
});
answer({ type: 'ready' });

for (let job = await nextJob(); job.type !== 'end'; job = await nextJob()) {
  if (job.type === 'draft') await draft(job);
  else if (job.type === 'prepare') await prepare(job);
  else await read(job);
}
await model.dispose();
port.close();

function answer(message: FromLmThread): void {
  port.postMessage(message);
}

async function nextJob(): Promise<Job> {
  for (;;) {
    await lookUp();
    const job = jobs.next();
    if (job !== undefined) return job;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

/** Passes block this thread, so what came meanwhile is seen only after a turn of its loop. */
async function lookUp(): Promise<void> {
  await setImmediate();
}

async function urgentWaits(): Promise<boolean> {
  await lookUp();
  return jobs.hasUrgent;
}

/** A prompt that cannot be read ahead fails with its draft, which has someone to tell. */
async function read({ sequence }: ReadJob): Promise<void> {
  await model.read(sequence, urgentWaits).catch(() => {});
}

/** Nobody waits for it: what fails here fails again, and is told, with the draft that is asked for next. */
async function prepare({ request, task, stop }: PrepareJob): Promise<void> {
  const flag = new Int32Array(stop);
  if (Atomics.load(flag, 0) !== 0) return;
  const over = async (): Promise<boolean> => Atomics.load(flag, 0) !== 0 || (await urgentWaits());
  await model.prepare(task, over, (drafted) => answer({ type: 'outcome', request, drafted })).catch(() => {});
}

async function draft({ request, task, stop }: DraftJob): Promise<void> {
  const flag = new Int32Array(stop);
  try {
    const drafted = await model.draft(task, () => Atomics.load(flag, 0) !== 0);
    answer({ type: 'draft', request, drafted });
  } catch (error) {
    answer({ type: 'failure', request, message: error instanceof Error ? error.message : String(error) });
  }
}
