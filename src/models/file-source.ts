/** A model file from a path that the catalog names: copied into the store like any other source, summed on the way. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type FetchedFile, type FetchJob, jobBytesMax } from './fetch-job.ts';
import { assertFreeSpace, openPart } from './part-file.ts';
import { abortedPull, PullError } from './pull-error.ts';

/** Throws `unreachable` if there is no such file: the next source may have it. */
export async function fetchFile(path: string, job: FetchJob): Promise<FetchedFile> {
  const file = await stat(path).catch(() => null);
  if (!file?.isFile()) throw new PullError('unreachable', `${path} is not there: check the path`);
  await assertFreeSpace(job.partPath, file.size);
  const part = await openPart(job.partPath, jobBytesMax(job), job.signal);
  try {
    await part.restart(null);
    for await (const chunk of createReadStream(path)) {
      if (job.signal.aborted) throw abortedPull();
      await part.append(chunk as Uint8Array);
      job.report('download', part.offset, file.size);
    }
    return { ...(await part.finish()), statedSha256: null };
  } finally {
    await part.close();
  }
}
