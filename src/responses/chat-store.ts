/**
 * Chats that their clients asked to keep (`store`): the answer as it was given, what was asked, and notes. In the same
 * file as responses, bound to their owner and bounded in number and bytes; the oldest go first.
 */
import type { DatabaseSync } from 'node:sqlite';
import { inTransaction } from './database.ts';
import type { StoreLimits } from './response-store.ts';

export const chatsMax = 10_000;

export interface StoredChat {
  readonly id: string;
  readonly model: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** The answer as JSON. */
  readonly completion: string;
  /** What was asked as JSON. */
  readonly messages: string;
}

/** Which part of an owner's chats; all conditions hold at once. */
export interface ChatQuery {
  /** Id of the chat before the page. */
  readonly after: string | null;
  readonly model: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly newestFirst: boolean;
  readonly limit: number;
}

export interface ChatPage {
  readonly chats: readonly StoredChat[];
  readonly hasMore: boolean;
}

export interface ChatStore {
  add(owner: string, chat: StoredChat): void;
  get(owner: string, id: string): StoredChat | null;
  /** null where the owner has no such chat. */
  update(owner: string, id: string, metadata: StoredChat['metadata']): StoredChat | null;
  /** Was it there? */
  delete(owner: string, id: string): boolean;
  /** null where `after` is none of the owner's. */
  list(owner: string, query: ChatQuery): ChatPage | null;
}

export function createChatStore(database: DatabaseSync, limits: StoreLimits): ChatStore {
  const insert = database.prepare(
    'INSERT INTO chats (id, owner, bytes, model, metadata, completion, messages) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const columns = 'SELECT place, id, model, metadata, completion, messages FROM chats';
  const select = database.prepare(`${columns} WHERE id = ? AND owner = ?`);
  const setMetadata = database.prepare('UPDATE chats SET metadata = ? WHERE id = ? AND owner = ?');
  const remove = database.prepare('DELETE FROM chats WHERE id = ? AND owner = ?');
  const total = database.prepare('SELECT COUNT(*) AS count, SUM(bytes) AS bytes FROM chats WHERE owner = ?');
  const oldest = database.prepare(
    'SELECT id, bytes FROM chats WHERE owner = ? AND id <> ? ORDER BY place LIMIT 1',
  );
  const upwards = database.prepare(`${columns} WHERE owner = ? AND place > ? ORDER BY place`);
  const downwards = database.prepare(`${columns} WHERE owner = ? AND place < ? ORDER BY place DESC`);

  function get(owner: string, id: string): StoredChat | null {
    const row = select.get(id, owner);
    return row === undefined ? null : chatOf(row);
  }

  function makeRoom(owner: string, kept: string): void {
    let { count, bytes } = total.get(owner) as { count: number; bytes: number };
    while (count > limits.countMax || bytes > limits.bytesMax) {
      const last = oldest.get(owner, kept) as { id: string; bytes: number } | undefined;
      if (last === undefined) return;
      remove.run(last.id, owner);
      count -= 1;
      bytes -= last.bytes;
    }
  }

  return {
    get,
    add(owner, { id, model, metadata, completion, messages }) {
      const notes = JSON.stringify(metadata);
      const bytes = notes.length + completion.length + messages.length;
      inTransaction(database, () => {
        insert.run(id, owner, bytes, model, notes, completion, messages);
        makeRoom(owner, id);
      });
    },
    update(owner, id, metadata) {
      setMetadata.run(JSON.stringify(metadata), id, owner);
      return get(owner, id);
    },
    delete: (owner, id) => Number(remove.run(id, owner).changes) > 0,
    list(owner, { after, model, metadata, newestFirst, limit }) {
      const start = after === null ? undefined : select.get(after, owner);
      if (after !== null && start === undefined) return null;
      const place = start?.['place'] ?? (newestFirst ? Number.MAX_SAFE_INTEGER : 0);
      const wanted = Object.entries(metadata);
      const chats: StoredChat[] = [];
      for (const row of (newestFirst ? downwards : upwards).iterate(owner, place)) {
        const chat = chatOf(row);
        if (model !== null && chat.model !== model) continue;
        if (wanted.some(([name, value]) => chat.metadata[name] !== value)) continue;
        if (chats.length === limit) return { chats, hasMore: true };
        chats.push(chat);
      }
      return { chats, hasMore: false };
    },
  };
}

function chatOf(row: Record<string, unknown>): StoredChat {
  const { id, model, metadata, completion, messages } = row as Record<string, string>;
  return {
    id: id!,
    model: model!,
    metadata: JSON.parse(metadata!) as StoredChat['metadata'],
    completion: completion!,
    messages: messages!,
  };
}
