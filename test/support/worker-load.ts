/** Asks a worker what it holds, over HTTP/2 with the cluster key, as a gateway or a scraper does. */
import { connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';

export interface WorkerLoad {
  readonly sessions: number;
  readonly passes: number;
  readonly kvBytes: number;
  readonly queueFrames: number;
}

/** From GET /metrics. */
export async function workerLoad(origin: string, clusterKey: string): Promise<WorkerLoad> {
  const text = await getMetrics(origin, clusterKey);
  const value = (name: string): number => {
    const [, number] = new RegExp(`^foretoken_worker_${name} (\\S+)$`, 'm').exec(text) ?? [];
    if (number === undefined) throw new Error(`no ${name} in the metrics of ${origin}:\n${text}`);
    return Number(number);
  };
  return {
    sessions: value('sessions'),
    passes: value('passes_total'),
    kvBytes: value('kv_bytes'),
    queueFrames: value('queue_frames'),
  };
}

/** Waits until it holds for every worker; fails with what they say. */
export async function eventuallyLoad(
  origins: readonly string[],
  clusterKey: string,
  what: string,
  holds: (load: WorkerLoad) => boolean,
  msMax = 10_000,
): Promise<WorkerLoad[]> {
  const deadline = performance.now() + msMax;
  for (;;) {
    const loads = await Promise.all(origins.map((origin) => workerLoad(origin, clusterKey)));
    if (loads.every(holds)) return loads;
    if (performance.now() > deadline)
      throw new Error(`not ${what} after ${msMax} ms: ${JSON.stringify(loads)}`);
    await sleep(20);
  }
}

function getMetrics(origin: string, clusterKey: string): Promise<string> {
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
