/**
 * Questions to a forked process over its IPC channel: a call has a name, one input and one output, all plain data.
 * The child answers while the channel is open and ends by itself when it closes, kill -9 of the parent included.
 */
import { type ChildProcess, fork } from 'node:child_process';

/** Name → what is asked and what is answered. */
export type CallTable = Record<string, { readonly input: unknown; readonly output: unknown }>;

interface Question {
  readonly id: number;
  readonly name: string;
  readonly input: unknown;
}

interface Reply {
  readonly id: number;
  readonly output?: unknown;
  readonly error?: string;
}

export interface Callee<T extends CallTable> {
  readonly pid: number;
  /** Rejects with the child's words, or when the child ends. */
  call<K extends keyof T & string>(name: K, input: T[K]['input']): Promise<T[K]['output']>;
  /** Closes the channel and waits for the process to end. */
  close(): Promise<void>;
}

/** Starts `entry` as a process that calls `answerCalls`. */
export function forkCallee<T extends CallTable>(entry: URL, env?: NodeJS.ProcessEnv): Callee<T> {
  const child = fork(entry, { execArgv: [], ...(env === undefined ? {} : { env }) });
  const open = new Map<number, { resolve: (output: never) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  child.on('message', ({ id, output, error }: Reply) => {
    const question = open.get(id);
    open.delete(id);
    if (error === undefined) question?.resolve(output as never);
    else question?.reject(new Error(error));
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of open.values()) reject(new Error(`${entry.pathname} ended (${signal ?? code})`));
    open.clear();
  });
  return {
    pid: child.pid!,
    call: (name, input) =>
      new Promise((resolve, reject) => {
        const id = ++lastId;
        open.set(id, { resolve, reject });
        child.send({ id, name, input } satisfies Question, (error) => {
          if (error !== null && open.delete(id)) reject(error);
        });
      }),
    close: () => closeChannel(child),
  };
}

/** The child's side. `onClose` ends what holds the process open. */
export function answerCalls<T extends CallTable>(
  handlers: { readonly [K in keyof T]: (input: T[K]['input']) => Promise<T[K]['output']> | T[K]['output'] },
  onClose: () => void,
): void {
  process.on('message', async ({ id, name, input }: Question) => {
    let reply: Reply;
    try {
      reply = { id, output: await handlers[name](input) };
    } catch (error) {
      reply = { id, error: error instanceof Error ? error.message : String(error) };
    }
    if (process.connected) process.send?.(reply);
  });
  process.on('disconnect', onClose);
}

async function closeChannel(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  if (child.connected) child.disconnect();
  await ended;
}
