/**
 * What waits for a draft model's thread, and what is next: drafts first, since somebody waits for them; prompts are
 * read, and drafts for likely outcomes are written, in the gaps.
 * Invariant: it grows with the sequences that are open and the drafts that are waited for, not with rounds: of a
 * sequence its newest preparation waits alone, and of one that is closed nothing but drafts, each of which is answered.
 */
import type { DraftTask } from './draft-model.ts';
import type { OutcomeTask } from './outcome-drafts.ts';

export interface DraftJob {
  readonly type: 'draft';
  readonly request: number;
  readonly task: DraftTask;
  /** Int32 [1]: not 0 once nobody waits for the answer. */
  readonly stop: SharedArrayBuffer;
}

export interface ReadJob {
  readonly type: 'read';
  readonly sequence: string;
}

export interface PrepareJob {
  readonly type: 'prepare';
  readonly request: number;
  readonly task: OutcomeTask;
  /** Int32 [1]: not 0 once the round is over. */
  readonly stop: SharedArrayBuffer;
}

export type Job = DraftJob | ReadJob | PrepareJob | { readonly type: 'end' };

export interface DraftJobs {
  /** Does something wait that goes before reading and preparing? */
  readonly hasUrgent: boolean;
  push(job: Job): void;
  /** Takes out what is next: the first that is urgent, else the first, if there is one. */
  next(): Job | undefined;
  /** The sequence is closed: neither is it read nor is anything prepared for it. */
  drop(sequence: string): void;
}

export function createDraftJobs(): DraftJobs {
  let jobs: Job[] = [];

  return {
    get hasUrgent() {
      return jobs.some(isUrgent);
    },
    push(job) {
      if (job.type === 'prepare')
        jobs = jobs.filter((other) => other.type !== 'prepare' || other.task.sequence !== job.task.sequence);
      jobs.push(job);
    },
    next() {
      const urgent = jobs.findIndex(isUrgent);
      return jobs.splice(Math.max(0, urgent), 1)[0];
    },
    drop(sequence) {
      jobs = jobs.filter((job) => isUrgent(job) || sequenceOf(job) !== sequence);
    },
  };
}

function isUrgent(job: Job): job is DraftJob | { readonly type: 'end' } {
  return job.type === 'draft' || job.type === 'end';
}

function sequenceOf(job: ReadJob | PrepareJob): string {
  return job.type === 'read' ? job.sequence : job.task.sequence;
}
