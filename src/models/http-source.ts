/**
 * A model file over HTTP: resumes by Range, follows few redirects, retries what broke on the way and never what the
 * server said on purpose. A resume happens only onto bytes of the same file: same pinned sum, same sum stated by the
 * hub (`x-linked-etag`, the LFS sha256 on the redirect), or If-Range with a strong ETag.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type Dispatcher, request } from 'undici';
import { type FetchedFile, type FetchJob, jobBytesMax } from './fetch-job.ts';
import {
  adviceFor,
  assertPlainBody,
  assertTotal,
  byteCount,
  contentRange,
  type Headers,
  type Stated,
  statedByHub,
  strongEtag,
} from './http-answer.ts';
import { assertFreeSpace, discardPart, openPart, type PartFile } from './part-file.ts';
import { abortedPull, PullError, systemCode } from './pull-error.ts';

/** The hub needs one or two; more is a loop. */
const redirectsMax = 5;
/** Bodies of redirects and errors are read up to here, so that the connection can be used again. */
const dumpBytesMax = 64 * 1024;

/** A failure that another try may mend; never leaves this file. */
class Interrupted extends Error {
  readonly final: PullError;
  /** Did the host answer at all? */
  readonly answered: boolean;

  constructor(final: PullError, answered = true) {
    super(final.message);
    this.final = final;
    this.answered = answered;
  }
}

/** Fetches `url` into the job's part. `statesSum`: the host is a hub whose LFS headers are to be read. */
export async function fetchHttp(url: URL, statesSum: boolean, job: FetchJob): Promise<FetchedFile> {
  const { limits, signal } = job;
  const agent = new Agent({
    connect: { timeout: limits.connectTimeoutMs },
    headersTimeout: limits.headersTimeoutMs,
    bodyTimeout: limits.stallTimeoutMs,
  });
  const part = await openPart(job.partPath, jobBytesMax(job), signal);
  const transfer = { url, statesSum, job, agent, part };
  try {
    // Stopped after the last byte: nothing is left to ask for.
    if (job.sha256 !== null && part.identity === job.sha256 && part.offset === job.bytes) {
      return { ...(await part.finish()), statedSha256: null };
    }
    let fruitless = 0;
    for (let tries = 1; ; tries++) {
      const before = part.offset;
      try {
        return await tryOnce(transfer);
      } catch (error) {
        if (signal.aborted) throw abortedPull();
        if (!(error instanceof Interrupted)) throw error;
        fruitless = part.offset > before ? 0 : fruitless + 1;
        // A host that never answered is not worth waiting for: the next source is.
        const silent = !error.answered && part.offset === 0;
        if (silent || fruitless >= limits.fruitlessTriesMax || tries >= limits.triesMax) throw error.final;
        job.log.warn(`${error.final.message}; going on from ${part.offset} bytes`);
        await sleep(limits.retryDelayMs * 2 ** fruitless, undefined, { signal }).catch(() => {
          throw abortedPull();
        });
      }
    }
  } finally {
    await part.close();
    if (part.offset === 0) await discardPart(job.partPath);
    await agent.destroy();
  }
}

interface Transfer {
  readonly url: URL;
  readonly statesSum: boolean;
  readonly job: FetchJob;
  readonly agent: Agent;
  readonly part: PartFile;
}

async function tryOnce(transfer: Transfer): Promise<FetchedFile> {
  const { job, part } = transfer;
  const { response, stated } = await openFile(transfer);
  const { body, headers, statusCode } = response;
  try {
    const identity = job.sha256 ?? stated.sha256 ?? strongEtag(headers);
    const total = await placeBody(part, statusCode, headers, identity);
    assertTotal(total ?? stated.bytes, job);
    if (total !== null) await assertFreeSpace(job.partPath, total - part.offset);

    job.report('download', part.offset, total);
    await receive(body, part, job, total);
    const size = total ?? stated.bytes ?? (job.sha256 === null ? part.offset : job.bytes);
    if (part.offset < size)
      throw broken(transfer.url, `the body ended after ${part.offset} of ${size} bytes`);
    return { ...(await part.finish()), statedSha256: stated.sha256 };
  } finally {
    body.destroy();
  }
}

/** Network errors of the body are interruptions; errors of our disk are not. */
async function receive(
  body: AsyncIterable<Uint8Array>,
  part: PartFile,
  job: FetchJob,
  total: number | null,
): Promise<void> {
  const chunks = body[Symbol.asyncIterator]();
  for (;;) {
    let next: IteratorResult<Uint8Array>;
    try {
      next = await chunks.next();
    } catch (error) {
      throw new Interrupted(
        new PullError('unreachable', `the download broke off (${reasonOf(error)})`, { cause: error }),
      );
    }
    if (next.done) return;
    await part.append(next.value);
    job.report('download', part.offset, total);
  }
}

/** Follows redirects to an answer that carries the file. */
async function openFile(transfer: Transfer): Promise<{ response: Dispatcher.ResponseData; stated: Stated }> {
  let url = transfer.url;
  let stated: Stated = { sha256: null, bytes: null };
  for (let redirects = 0; redirects <= redirectsMax; redirects++) {
    const response = await ask(transfer, url, stated);
    if (transfer.statesSum && redirects === 0) stated = statedByHub(response.headers);
    const status = response.statusCode;
    if (status === 200 || status === 206) return { response, stated };
    await response.body.dump({ limit: dumpBytesMax }).catch(() => {});
    const location = response.headers['location'];
    if (status >= 300 && status < 400 && typeof location === 'string' && URL.canParse(location, url.href)) {
      url = new URL(location, url);
      continue;
    }
    if (status === 416) {
      // The part is longer than the file, or the range is refused: what lies there is of no use.
      await transfer.part.restart(null);
      throw broken(url, 'the server refused to go on from there');
    }
    throw badStatus(url, status);
  }
  throw new PullError(
    'http_status',
    `${transfer.url.host} redirects more than ${redirectsMax} times: check the source`,
  );
}

async function ask(
  { job, agent, part }: Transfer,
  url: URL,
  stated: Stated,
): Promise<Dispatcher.ResponseData> {
  const known = job.sha256 ?? stated.sha256;
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && (known !== null || isLoopback(url)))) {
    throw new PullError(
      'bad_source',
      `${url.origin} is not https and the file has no known sum: use an https source`,
    );
  }
  try {
    return await request(url, {
      dispatcher: agent,
      headers: { 'user-agent': 'foretoken', 'accept-encoding': 'identity', ...resumeHeaders(part, known) },
      signal: job.signal,
    });
  } catch (error) {
    throw broken(url, reasonOf(error), error, false);
  }
}

function resumeHeaders(part: PartFile, known: string | null): Record<string, string> {
  if (part.offset === 0 || part.identity === null) return {};
  const range = `bytes=${part.offset}-`;
  if (part.identity === known) return { range };
  if (known === null && part.identity.startsWith('"')) return { range, 'if-range': part.identity };
  return {};
}

/** Makes the part ready for the body that follows; gives the size of the whole file, or null. */
async function placeBody(
  part: PartFile,
  status: number,
  headers: Headers,
  identity: string | null,
): Promise<number | null> {
  assertPlainBody(headers);
  if (status === 200) {
    await part.restart(identity);
    return byteCount(headers['content-length']);
  }
  const { start, total } = contentRange(headers);
  if (start !== part.offset || part.offset === 0) {
    await part.restart(null);
    throw new Interrupted(
      new PullError('http_status', 'the server answered with another range than the one asked for'),
    );
  }
  return total;
}

function isLoopback(url: URL): boolean {
  return (
    url.hostname === 'localhost' || url.hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(url.hostname)
  );
}

function badStatus(url: URL, status: number): Error {
  const error = new PullError(
    'http_status',
    `${url.host} answers ${status} for ${url.pathname}: ${adviceFor(status)}`,
  );
  return status === 408 || status === 429 || status >= 500 ? new Interrupted(error) : error;
}

function broken(url: URL, reason: string, cause?: unknown, answered = true): Interrupted {
  return new Interrupted(
    new PullError('unreachable', `cannot get the file from ${url.host} (${reason}): check the network`, {
      cause,
    }),
    answered,
  );
}

/** Short and telling: the system's code where there is one. */
function reasonOf(error: unknown): string {
  return systemCode(error) || (error instanceof Error ? error.message : String(error));
}
