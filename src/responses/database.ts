/**
 * The file behind stored responses and conversations: SQLite inside the process, one writer at a time, readable after
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
] as const;

/** `:memory:` is a file that nobody sees. Throws when the file was made by a newer version, or is no database. */
export function openDatabase(path: string): DatabaseSync {
  // It holds what people wrote; its companion files inherit the mode.
  if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    migrate(database, path);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function migrate(database: DatabaseSync, path: string): void {
  inTransaction(database, () => {
    const version = Number(database.prepare('PRAGMA user_version').get()!['user_version']);
    if (version > migrations.length) {
      throw new Error(`${path} was written by a newer version of Foretoken. Update, or move the file away.`);
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
    database.exec('ROLLBACK');
    throw error;
  }
}
