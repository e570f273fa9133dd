/**
 * Stored responses, each with everything that the model was shown for it, so that a chain goes on whatever became of
 * its beginning. Bound to the owner who made them: to anybody else they do not exist. Bounded per owner in number and
 * bytes; what was not used for longest goes first.
 */
import type { DatabaseSync } from 'node:sqlite';
import { inTransaction } from './database.ts';
import type { Item } from './items.ts';
import { isFinished, type ResponseObject } from './response-object.ts';

/** A few days of one busy user; lookups and the count at each write stay under a millisecond. */
export const responsesMax = 10_000;

export interface ResponseRecord {
  readonly response: ResponseObject;
  /** Instructions are not among them; they do not carry over. */
  readonly input: readonly Item[];
}

export interface StoreLimits {
  /** Of one owner. */
  readonly countMax: number;
  readonly bytesMax: number;
}

export interface ResponseStore {
  /** New, or in place of the one with the same id. */
  put(owner: string, record: ResponseRecord): void;
  get(owner: string, id: string): ResponseRecord | null;
  /** Was it there? */
  delete(owner: string, id: string): boolean;
  /** An output item of a stored response. */
  findItem(owner: string, itemId: string): Item | null;
}

export interface ResponseStoreOptions {
  readonly database: DatabaseSync;
  readonly limits: StoreLimits;
  /** Whole milliseconds since 1970. */
  readonly now: () => number;
  /** Of this process: whoever reads an unfinished response of a process that is gone knows that it failed. */
  readonly pid: number;
  readonly isAlive: (pid: number) => boolean;
}

export function createResponseStore(options: ResponseStoreOptions): ResponseStore {
  const { database, limits, now } = options;
  const upsert = database.prepare(
    `INSERT INTO responses (id, owner, used, bytes, runner, response, input) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET used = excluded.used, bytes = excluded.bytes, runner = excluded.runner,
       response = excluded.response, input = excluded.input`,
  );
  const select = database.prepare('SELECT response, input, runner FROM responses WHERE id = ? AND owner = ?');
  const touch = database.prepare('UPDATE responses SET used = ? WHERE id = ?');
  const remove = database.prepare('DELETE FROM responses WHERE id = ? AND owner = ?');
  const addItem = database.prepare('INSERT OR REPLACE INTO output_items (id, response_id) VALUES (?, ?)');
  const removeItems = database.prepare('DELETE FROM output_items WHERE response_id = ?');
  const responseOfItem = database.prepare('SELECT response_id FROM output_items WHERE id = ?');
  const total = database.prepare(
    'SELECT COUNT(*) AS count, SUM(bytes) AS bytes FROM responses WHERE owner = ?',
  );
  const oldest = database.prepare(
    'SELECT id, bytes FROM responses WHERE owner = ? AND id <> ? ORDER BY used, rowid LIMIT 1',
  );

  function drop(owner: string, id: string): boolean {
    removeItems.run(id);
    return Number(remove.run(id, owner).changes) > 0;
  }

  function makeRoom(owner: string, kept: string): void {
    let { count, bytes } = total.get(owner) as { count: number; bytes: number };
    while (count > limits.countMax || bytes > limits.bytesMax) {
      const last = oldest.get(owner, kept) as { id: string; bytes: number } | undefined;
      if (last === undefined) return;
      drop(owner, last.id);
      count -= 1;
      bytes -= last.bytes;
    }
  }

  return {
    put(owner, { response, input }) {
      const texts = [JSON.stringify(response), JSON.stringify(input)] as const;
      const bytes = texts[0].length + texts[1].length;
      const runner = isFinished(response) ? null : options.pid;
      inTransaction(database, () => {
        upsert.run(response.id, owner, now(), bytes, runner, ...texts);
        for (const item of response.output) addItem.run(item.id, response.id);
        makeRoom(owner, response.id);
      });
    },
    get(owner, id) {
      const row = select.get(id, owner);
      if (row === undefined) return null;
      touch.run(now(), id);
      const response = JSON.parse(row['response'] as string) as ResponseObject;
      const runner = row['runner'] as number | null;
      const orphaned = runner !== null && runner !== options.pid && !options.isAlive(runner);
      return {
        response: orphaned ? abandoned(response) : response,
        input: JSON.parse(row['input'] as string) as Item[],
      };
    },
    delete: (owner, id) => inTransaction(database, () => drop(owner, id)),
    findItem(owner, itemId) {
      const id = responseOfItem.get(itemId)?.['response_id'] as string | undefined;
      const row = id === undefined ? undefined : select.get(id, owner);
      if (row === undefined) return null;
      const { output } = JSON.parse(row['response'] as string) as ResponseObject;
      return output.find((item) => item.id === itemId) ?? null;
    },
  };
}

function abandoned(response: ResponseObject): ResponseObject {
  const message = 'The gateway was restarted before the response was complete. Send the request again.';
  return { ...response, status: 'failed', error: { code: 'server_error', message } };
}
