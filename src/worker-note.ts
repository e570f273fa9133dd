/** What a worker process tells the process that spawned it, over the IPC channel. */
export type WorkerNote =
  | {
      readonly type: 'progress';
      readonly stage: 'pack' | 'prove' | 'load';
      readonly done: number;
      readonly total: number;
    }
  | { readonly type: 'ready'; readonly origin: string }
  | { readonly type: 'failed'; readonly message: string };
