/**
 * Reads the heads of HTTP answers that carry a model file: sizes, ranges, and what a hub states about the file.
 * Pure; whatever a header holds, the result is a checked value, null, or a PullError.
 */
import type { Dispatcher } from 'undici';
import { type FetchJob, jobBytesMax } from './fetch-job.ts';
import { PullError } from './pull-error.ts';

export type Headers = Dispatcher.ResponseData['headers'];

/** What a hub says of a file before it sends it. */
export interface Stated {
  readonly sha256: string | null;
  readonly bytes: number | null;
}

/** Hugging Face puts the LFS sha256 and size on its own answer (the redirect), not on the storage's. */
export function statedByHub(headers: Headers): Stated {
  const [, sha256 = null] = /^"?([0-9a-f]{64})"?$/.exec(String(headers['x-linked-etag'])) ?? [];
  return { sha256, bytes: byteCount(headers['x-linked-size']) };
}

/** An ETag that promises equal bytes; weak ones do not. */
export function strongEtag(headers: Headers): string | null {
  const etag = headers['etag'];
  return typeof etag === 'string' && /^"[^"]{1,256}"$/.test(etag) ? etag : null;
}

/** A size header as a number (below 10^15), or null. */
export function byteCount(value: string | string[] | undefined): number | null {
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : null;
}

/** Start of a 206 answer's body (-1 if it does not say) and size of the whole file (null if it does not say). */
export function contentRange(headers: Headers): { start: number; total: number | null } {
  const [, start, total] =
    /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(String(headers['content-range'])) ?? [];
  return { start: start === undefined ? -1 : Number(start), total: byteCount(total) };
}

/** Throws `http_status` for a compressed body: its bytes are not the file's, and ranges would not be either. */
export function assertPlainBody(headers: Headers): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return;
  throw new PullError('http_status', `the server sends the file as ${encoding} although it was asked not to`);
}

/** Throws `wrong_size` where the stated size cannot be the model's. */
export function assertTotal(total: number | null, job: FetchJob): void {
  if (total === null) return;
  if (job.sha256 !== null && total !== job.bytes) {
    throw new PullError(
      'wrong_size',
      `the source has ${total} bytes, the model has ${job.bytes}: it is another file`,
    );
  }
  if (total > jobBytesMax(job)) {
    throw new PullError('wrong_size', `the source has ${total} bytes, more than any model that is taken`);
  }
}

/** What the reader can do about a status. */
export function adviceFor(status: number): string {
  if (status === 401 || status === 403)
    return 'it wants a login; download the file yourself and give its path';
  if (status === 404 || status === 410) return 'the file is gone; check the name';
  if (status === 429) return 'too many requests; try again later';
  return status >= 500 ? 'the server is in trouble; try again later' : 'this is no answer that can be used';
}
