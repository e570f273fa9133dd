/**
 * Stored conversations: items in the order in which they were added, and metadata. Bound to their owner and bounded as
 * responses are; a conversation counts with the bytes of its items.
 */
import type { DatabaseSync } from 'node:sqlite';
import { GatewayError } from '../errors.ts';
import { inTransaction } from './database.ts';
import type { Item } from './items.ts';
import type { StoreLimits } from './response-store.ts';

export const conversationsMax = 10_000;
/** One that is longer fits no model's context, and each answer reads it whole. */
export const conversationBytesMax = 8 * 2 ** 20;

export interface Conversation {
  readonly id: string;
  readonly object: 'conversation';
  /** Seconds since 1970. */
  readonly created_at: number;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Methods that take an owner and an id return null or false where that owner has no such conversation. */
export interface ConversationStore {
  create(owner: string, conversation: Conversation, items: readonly Item[]): void;
  get(owner: string, id: string): Conversation | null;
  update(owner: string, id: string, metadata: Conversation['metadata']): Conversation | null;
  delete(owner: string, id: string): boolean;
  /** In the order of adding. */
  items(owner: string, id: string): readonly Item[] | null;
  /** An item whose id is there already takes that one's place. Throws invalid_request when it gets too long. */
  addItems(owner: string, id: string, items: readonly Item[]): boolean;
  deleteItem(owner: string, id: string, itemId: string): boolean;
}

export interface ConversationStoreOptions {
  readonly database: DatabaseSync;
  readonly limits: StoreLimits;
  /** Whole milliseconds since 1970. */
  readonly now: () => number;
}

export function createConversationStore({
  database,
  limits,
  now,
}: ConversationStoreOptions): ConversationStore {
  const insert = database.prepare(
    'INSERT INTO conversations (id, owner, used, bytes, created_at, metadata) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const select = database.prepare(
    'SELECT id, created_at, metadata FROM conversations WHERE id = ? AND owner = ?',
  );
  const setMetadata = database.prepare('UPDATE conversations SET metadata = ?, used = ? WHERE id = ?');
  const remove = database.prepare('DELETE FROM conversations WHERE id = ?');
  const selectItems = database.prepare(
    'SELECT item FROM conversation_items WHERE conversation_id = ? ORDER BY place',
  );
  const insertItem = database.prepare(
    `INSERT INTO conversation_items (conversation_id, id, item) VALUES (?, ?, ?)
     ON CONFLICT (conversation_id, id) DO UPDATE SET item = excluded.item`,
  );
  const removeItem = database.prepare('DELETE FROM conversation_items WHERE conversation_id = ? AND id = ?');
  const removeItems = database.prepare('DELETE FROM conversation_items WHERE conversation_id = ?');
  const measure = database.prepare(
    `UPDATE conversations SET used = ?2, bytes = length(metadata) +
       (SELECT COALESCE(SUM(length(item)), 0) FROM conversation_items WHERE conversation_id = ?1) WHERE id = ?1`,
  );
  const sizeOf = database.prepare('SELECT bytes FROM conversations WHERE id = ?');
  const total = database.prepare(
    'SELECT COUNT(*) AS count, SUM(bytes) AS bytes FROM conversations WHERE owner = ?',
  );
  const oldest = database.prepare(
    'SELECT id, bytes FROM conversations WHERE owner = ? AND id <> ? ORDER BY used, rowid LIMIT 1',
  );

  function find(owner: string, id: string): Conversation | null {
    const row = select.get(id, owner);
    if (row === undefined) return null;
    return {
      id,
      object: 'conversation',
      created_at: row['created_at'] as number,
      metadata: JSON.parse(row['metadata'] as string) as Conversation['metadata'],
    };
  }

  function drop(id: string): void {
    removeItems.run(id);
    remove.run(id);
  }

  function settle(owner: string, id: string): void {
    measure.run(id, now());
    if ((sizeOf.get(id) as { bytes: number }).bytes > conversationBytesMax) {
      throw new GatewayError(
        'invalid_request',
        `The conversation would be longer than ${conversationBytesMax} bytes. Begin a new one, or delete items.`,
        { param: 'conversation' },
      );
    }
    let { count, bytes } = total.get(owner) as { count: number; bytes: number };
    while (count > limits.countMax || bytes > limits.bytesMax) {
      const last = oldest.get(owner, id) as { id: string; bytes: number } | undefined;
      if (last === undefined) return;
      drop(last.id);
      count -= 1;
      bytes -= last.bytes;
    }
  }

  /** Runs the change if the owner has the conversation. */
  function change(owner: string, id: string, apply: () => boolean): boolean {
    return inTransaction(database, () => {
      if (find(owner, id) === null || !apply()) return false;
      settle(owner, id);
      return true;
    });
  }

  const put = (id: string, items: readonly Item[]): void => {
    for (const item of items) insertItem.run(id, item.id, JSON.stringify(item));
  };

  return {
    create(owner, { id, created_at, metadata }, items) {
      inTransaction(database, () => {
        insert.run(id, owner, now(), 0, created_at, JSON.stringify(metadata));
        put(id, items);
        settle(owner, id);
      });
    },
    get: find,
    update(owner, id, metadata) {
      const found = change(owner, id, () =>
        Boolean(setMetadata.run(JSON.stringify(metadata), now(), id).changes),
      );
      return found ? find(owner, id) : null;
    },
    delete: (owner, id) =>
      inTransaction(database, () => {
        const found = find(owner, id) !== null;
        if (found) drop(id);
        return found;
      }),
    items(owner, id) {
      if (find(owner, id) === null) return null;
      return selectItems.all(id).map((row) => JSON.parse(row['item'] as string) as Item);
    },
    addItems: (owner, id, items) =>
      change(owner, id, () => {
        put(id, items);
        return true;
      }),
    deleteItem: (owner, id, itemId) =>
      change(owner, id, () => Number(removeItem.run(id, itemId).changes) > 0),
  };
}
