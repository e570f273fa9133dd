/**
 * llama.cpp's server over its rpc-servers, as processes with links between them: what a user would split a model with
 * otherwise. Every stage listens on loopback and is reached through a delayed link; the server pushes weights over it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DelayLinks } from './delay-links.ts';

/** Pushing 100 MB over four links of 50 ms takes it half a minute; a large model on a slow disk takes longer. */
const startMsMax = 300_000;
const pollMs = 100;
/** A signal, then SIGKILL. */
const stopGraceMs = 2_000;
/** What is kept of a program's words for an error. */
const wordsMax = 2_000;

export interface LlamaPrograms {
  /** Path of llama-server. */
  readonly llamaServer: string;
  /** Path of ggml-rpc-server. */
  readonly rpcServer: string;
}

export interface LlamaAnswer {
  readonly tokens: number;
  /** First token to last. */
  readonly decodeMs: number;
  /** Draft tokens that were right, as the server says; null where it says nothing. */
  readonly accepted: number | null;
}

export interface LlamaServer {
  /** Greedy. Throws Error with the server's words. */
  answer(text: string, maxTokens: number): Promise<LlamaAnswer>;
  close(): Promise<void>;
}

export interface RpcStages {
  /** A server over all stages; `flags` choose how it speculates. One at a time: each pushes its own weights. */
  startServer(modelPath: string, flags: readonly string[]): Promise<LlamaServer>;
  close(): Promise<void>;
}

/** Starts `count` rpc-servers with one thread each, and a link in front of each. */
export async function startRpcStages(
  { llamaServer, rpcServer }: LlamaPrograms,
  links: DelayLinks,
  count: number,
): Promise<RpcStages> {
  const stages: Program[] = [];
  const close = async (): Promise<void> => void (await Promise.all(stages.map((stage) => stage.stop())));
  try {
    const linked: string[] = [];
    for (let i = 0; i < count; i++) {
      const port = await freePort();
      const stage = startProgram(rpcServer, ['-H', '127.0.0.1', '-p', String(port), '-t', '1']);
      stages.push(stage);
      await stage.until(() => listens(port));
      linked.push(`127.0.0.1:${await links.open(port)}`);
    }
    return {
      startServer: (modelPath, flags) =>
        startServer(llamaServer, modelPath, [...flags, '--rpc', linked.join(',')]),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startServer(path: string, modelPath: string, flags: readonly string[]): Promise<LlamaServer> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const common = ['-ngl', '99', '-t', '1', '-c', '2048', '-np', '1', '--cache-ram', '0'];
  const program = startProgram(path, [
    ...['-m', modelPath, '--host', '127.0.0.1', '--port', String(port)],
    ...common,
    ...flags,
  ]);
  try {
    await program.until(async () => (await fetch(`${origin}/health`)).ok);
  } catch (error) {
    await program.stop();
    throw error;
  }
  return { answer: (text, maxTokens) => ask(origin, text, maxTokens), close: () => program.stop() };
}

interface ChatReply {
  readonly timings?: {
    readonly predicted_n: number;
    readonly predicted_ms: number;
    readonly draft_n_accepted?: number;
  };
}

async function ask(origin: string, text: string, maxTokens: number): Promise<LlamaAnswer> {
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      messages: [{ role: 'user', content: text }],
      temperature: 0,
      max_tokens: maxTokens,
      cache_prompt: false,
    }),
  });
  const body = await response.text();
  if (!response.ok) throw new Error(`llama-server answered ${response.status}: ${body.slice(0, wordsMax)}`);
  const { timings } = JSON.parse(body) as ChatReply;
  if (timings === undefined)
    throw new Error('llama-server told no timings; a version of 2024 or later does.');
  return {
    tokens: timings.predicted_n,
    decodeMs: timings.predicted_ms,
    accepted: timings.draft_n_accepted ?? null,
  };
}

interface Program {
  /** Resolves when `ready` does; rejects with the program's words if it ends before, or takes too long. */
  until(ready: () => Promise<boolean>): Promise<void>;
  stop(): Promise<void>;
}

function startProgram(path: string, args: readonly string[]): Program {
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let words = '';
  let ended: string | null = null;
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      words = (words + chunk).slice(-wordsMax);
    });
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended ??= `it ended (${signal ?? code})`;
  });
  return {
    async until(ready) {
      const deadlineMs = performance.now() + startMsMax;
      while (!(await ready().catch(() => false))) {
        if (ended !== null) throw new Error(`${path} did not start: ${ended}\n${words}`);
        if (performance.now() > deadlineMs) throw new Error(`${path} did not start in time.\n${words}`);
        await sleep(pollMs);
      }
    },
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopGraceMs);
  await exited;
  clearTimeout(timer);
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    const settle = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => settle(true)).once('error', () => settle(false));
  });
}

/** Free now; nothing on this machine is expected to take it before the program does. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
