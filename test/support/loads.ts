/** What gateways and workers say they hold, out of their Prometheus text: asked as a scraper asks. */
import { connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';

export interface WorkerLoad {
  readonly sessions: number;
  readonly passes: number;
  readonly kvBytes: number;
  readonly queueFrames: number;
}

/** GET /metrics of a worker, over HTTP/2 with the cluster key. */
export async function workerLoad(origin: string, clusterKey: string): Promise<WorkerLoad> {
  const value = valuesOf(await getWorkerMetrics(origin, clusterKey));
  return {
    sessions: value('foretoken_worker_sessions'),
    passes: value('foretoken_worker_passes_total'),
    kvBytes: value('foretoken_worker_kv_bytes'),
    queueFrames: value('foretoken_worker_queue_frames'),
  };
}

export interface GatewayLoad {
  readonly running: number;
  readonly waiting: number;
  readonly rounds: number;
}

/** GET /metrics of a gateway. */
export async function gatewayLoad(origin: string): Promise<GatewayLoad> {
  const value = valuesOf(await (await fetch(`${origin}/metrics`)).text());
  return {
    running: value('foretoken_requests_running'),
    waiting: value('foretoken_requests_waiting'),
    rounds: value('foretoken_rounds_total'),
  };
}

/** Asks until it holds; fails with the last answer. */
export async function eventually<T>(
  ask: () => Promise<T>,
  what: string,
  holds: (answer: T) => boolean,
  msMax = 20_000,
): Promise<T> {
  const deadline = performance.now() + msMax;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (performance.now() > deadline)
      throw new Error(`not ${what} after ${msMax} ms: ${JSON.stringify(answer)}`);
    await sleep(10);
  }
}

function valuesOf(text: string): (name: string) => number {
  return (name) => {
    const [, number] = new RegExp(`^${name} (\\S+)$`, 'm').exec(text) ?? [];
    if (number === undefined) throw new Error(`there is no ${name} in:\n${text}`);
    return Number(number);
  };
}

function getWorkerMetrics(origin: string, clusterKey: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = connect(origin);
    session.on('error', reject);
    const request = session.request({ ':path': '/metrics', authorization: `Bearer ${clusterKey}` });
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    request.on('error', reject).on('end', () => {
      session.close();
      resolve(text);
    });
  });
}
