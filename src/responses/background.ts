/**
 * Responses that are made while nobody waits: started, read into a bounded log at the pace of the model, and followed
 * by any number of readers, now or later. The log outlives its response for a while; after that the stored response
 * is what is left. Starting one takes a place in the scheduler's queue, which bounds how many there are.
 */
import { GatewayError } from '../errors.ts';
import { createEventLog, type EventLog } from './event-log.ts';
import type { ResponseMaker, ResponseOrder } from './response-maker.ts';
import type { ResponseObject } from './response-object.ts';
import type { Run } from './run.ts';

/** Logs of finished responses that are kept; with eventLogBytesMax each, a bound of memory too. */
const finishedLogsMax = 32;

export interface BackgroundRun {
  /** As it stands now. */
  readonly response: ResponseObject;
  readonly log: EventLog;
}

export interface BackgroundRuns {
  /** The queued response. `onEnd`: it is over, or never began. Throws what the engine throws at the start. */
  start(order: ResponseOrder, onEnd: () => void): Promise<ResponseObject>;
  find(owner: string, id: string): BackgroundRun | null;
  /** The response once it has ended, by this or before; null where it is not run here. */
  cancel(owner: string, id: string): Promise<ResponseObject | null>;
  /** Ends all that run, with an error that says so. */
  close(): Promise<void>;
}

interface Entry extends BackgroundRun {
  readonly owner: string;
  readonly run: Run;
  readonly stopping: AbortController;
  readonly done: Promise<void>;
}

export function createBackgroundRuns(maker: ResponseMaker): BackgroundRuns {
  const entries = new Map<string, Entry>();
  const finished: string[] = [];

  async function drain(run: Run, log: EventLog): Promise<void> {
    for await (const batch of run.events) log.append(batch);
    log.close();
    finished.push(run.id);
    if (finished.length > finishedLogsMax) entries.delete(finished.shift()!);
  }

  function find(owner: string, id: string): Entry | null {
    const entry = entries.get(id);
    return entry?.owner === owner ? entry : null;
  }

  return {
    find,
    async start(order, onEnd) {
      const stopping = new AbortController();
      const log = createEventLog();
      let run: Run;
      try {
        run = maker.open(order, { signal: stopping.signal });
      } catch (error) {
        onEnd();
        throw error;
      }
      const { response } = run;
      const done = drain(run, log).finally(onEnd);
      entries.set(run.id, {
        owner: order.owner,
        run,
        log,
        stopping,
        done,
        get response() {
          return run.response;
        },
      });
      await run.starting;
      return response;
    },
    async cancel(owner, id) {
      const entry = find(owner, id);
      if (entry === null) return null;
      entry.stopping.abort(new GatewayError('cancelled', 'The response was cancelled.'));
      await entry.done;
      return entry.response;
    },
    async close() {
      for (const { stopping } of entries.values()) {
        stopping.abort(new GatewayError('draining', 'The gateway is shutting down. Send the request again.'));
      }
      await Promise.all([...entries.values()].map(({ done }) => done));
    },
  };
}
