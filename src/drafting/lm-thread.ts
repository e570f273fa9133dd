/**
 * The thread behind the drafters 'lm' and 'head': a draft model and a queue in front of it. Drafts go first; prompts are
 * read, and drafts for likely outcomes are written, in the gaps, so that neither holds up a draft that somebody waits
 * for by more than one pass.
 * Protocol: plain messages of the types below; every 'draft' gets exactly one answer, a 'prepare' any number.
 */
import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { createDraftModel, type Drafted, type DraftTask } from './draft-model.ts';
import type { DraftModelOptions } from './draft-reader.ts';
import type { OutcomeDraft, OutcomeTask } from './outcome-drafts.ts';

type Job =
  | {
      readonly type: 'draft';
      readonly request: number;
      readonly task: DraftTask;
      /** Int32 [1]: not 0 once nobody waits for the answer. */
      readonly stop: SharedArrayBuffer;
    }
  | { readonly type: 'read'; readonly sequence: string }
  | {
      readonly type: 'prepare';
      readonly request: number;
      readonly task: OutcomeTask;
      /** Int32 [1]: not 0 once the round is over. */
      readonly stop: SharedArrayBuffer;
    }
  | { readonly type: 'end' };

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
const jobs: Job[] = [];
let wake = (): void => {};

port.on('message', (message: ToLmThread) => {
  // What a sequence says, and that it is over, is known at once, whatever waits.
  if (message.type === 'learn') return model.learn(message.sequence, message.from, message.ids);
  if (message.type === 'close') return model.close(message.sequence);
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
  if (!(await urgentWaits()) && jobs.length === 0) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  const urgent = jobs.findIndex(isUrgent);
  return jobs.splice(Math.max(0, urgent), 1)[0]!;
}

/** Passes block this thread, so what came meanwhile is seen only after a turn of its loop. */
async function urgentWaits(): Promise<boolean> {
  await setImmediate();
  return jobs.some(isUrgent);
}

function isUrgent({ type }: Job): boolean {
  return type === 'draft' || type === 'end';
}

/** A prompt that cannot be read ahead fails with its draft, which has someone to tell. */
async function read({ sequence }: Job & { readonly type: 'read' }): Promise<void> {
  await model.read(sequence, urgentWaits).catch(() => {});
}

/** Nobody waits for it: what fails here fails again, and is told, with the draft that is asked for next. */
async function prepare({ request, task, stop }: Job & { readonly type: 'prepare' }): Promise<void> {
  const flag = new Int32Array(stop);
  if (Atomics.load(flag, 0) !== 0) return;
  const over = async (): Promise<boolean> => Atomics.load(flag, 0) !== 0 || (await urgentWaits());
  await model.prepare(task, over, (drafted) => answer({ type: 'outcome', request, drafted })).catch(() => {});
}

async function draft({ request, task, stop }: Job & { readonly type: 'draft' }): Promise<void> {
  const flag = new Int32Array(stop);
  try {
    const drafted = await model.draft(task, () => Atomics.load(flag, 0) !== 0);
    answer({ type: 'draft', request, drafted });
  } catch (error) {
    answer({ type: 'failure', request, message: error instanceof Error ? error.message : String(error) });
  }
}
