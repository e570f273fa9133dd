/**
 * The file behind stored responses, conversations and chats: SQLite inside the process, one writer at a time, readable after
 * a crash. `user_version` counts the migrations that a file has seen; they only ever grow.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** Another gateway on the same file holds it for one write; longer means that something is wrong. */
const busyTimeoutMs = 2000;

const migrations = [
  `CREATE TABLE responses (
     id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, used INTEGER NOT NULL, bytes INTEGER NOT NULL,
     runner INTEGER, response TEXT NOT NULL, input TEXT NOT NULL
   ) STRICT;
   CREATE INDEX responses_by_use ON responses (owner, used, bytes);
   CREATE TABLE output_items (id TEXT PRIMARY KEY, response_id TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE INDEX output_items_of_response ON output_items (response_id);
   CREATE TABLE conversations (
     id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, used INTEGER NOT NULL, bytes INTEGER NOT NULL,
     created_at INTEGER NOT NULL, metadata TEXT NOT NULL
   ) STRICT;
   CREATE INDEX conversations_by_use ON conversations (owner, used, bytes);
   CREATE TABLE conversation_items (
     place INTEGER PRIMARY KEY AUTOINCREMENT, conversation_id TEXT NOT NULL, id TEXT NOT NULL, item TEXT NOT NULL,
     UNIQUE (conversation_id, id)
   ) STRICT;`,
  `CREATE TABLE chats (
     place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, bytes INTEGER NOT NULL,
     model TEXT NOT NULL, metadata TEXT NOT NULL, completion TEXT NOT NULL, messages TEXT NOT NULL
   ) STRICT;
   CREATE INDEX chats_by_place ON chats (owner, place, bytes);`,
] as const;

/** A file that cannot be opened, with what to do about it. */
export class DatabaseFileError extends Error {
  constructor(path: string, cause: unknown) {
    super(`${path} ${remedy(cause)}`, { cause });
    this.name = 'DatabaseFileError';
  }
}

/** `:memory:` is a file that nobody sees. Throws DatabaseFileError. */
export function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync | null = null;
  try {
    // It holds what people wrote; its companion files inherit the mode.
    if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
    database = new DatabaseSync(path, { timeout: busyTimeoutMs });
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    migrate(database);
    return database;
  } catch (error) {
    database?.close();
    throw new DatabaseFileError(path, error);
  }
}

/** SQLite's primary result codes (https://sqlite.org/rescode.html). */
const sqliteFull = 13;
const sqliteNoDatabase = 26;

function remedy(cause: unknown): string {
  const { code, errcode, message } = cause as NodeJS.ErrnoException & { errcode?: number };
  if (errcode === sqliteFull || code === 'ENOSPC') {
    return 'has no space left: free some, or set FORETOKEN_HOME to a folder on a larger disk';
  }
  if (errcode === sqliteNoDatabase) return 'is no database of Foretoken: move it away and start again';
  return `cannot be used (${message}): mend that, or set FORETOKEN_HOME to another folder`;
}

function migrate(database: DatabaseSync): void {
  inTransaction(database, () => {
    const version = Number(database.prepare('PRAGMA user_version').get()!['user_version']);
    if (version > migrations.length) {
      throw new Error('it was written by a newer version of Foretoken; update, or move the file away');
    }
    for (const migration of migrations.slice(version)) database.exec(migration);
    database.exec(`PRAGMA user_version = ${migrations.length}`);
  });
}

/** All of it, or nothing. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // A full disk has rolled back already; asking again would hide why.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
