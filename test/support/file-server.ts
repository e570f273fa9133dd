/**
 * A loopback HTTP server for files, with the faults that downloads meet: cuts, ignored or refused ranges, redirects,
 * errors, silence. Records every request, so that a test can say what was asked for.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ServedFile {
  readonly content: Uint8Array;
  /** Answers Range with 206; false: ignores it, as some servers do. */
  readonly ranges?: boolean;
  readonly etag?: string;
  /** Body bytes sent for the n-th request before the connection breaks; beyond the list: all. See `arrived`. */
  readonly cuts?: readonly number[];
  /** Status of the n-th request, before anything else; 200 means "go on". */
  readonly statuses?: readonly number[];
  readonly redirectTo?: string;
  readonly headers?: Record<string, string>;
  /** Sends this much and then keeps silent. */
  readonly stallAfter?: number;
  /** Content-Range start that is not the one asked for. */
  readonly lieAboutRange?: boolean;
  /** No Content-Length. */
  readonly chunked?: boolean;
}

export interface FileServer {
  readonly origin: string;
  readonly requests: { path: string; range: string | null; ifRange: string | null }[];
  /** The client has this many bytes of the file: a cut that was to come there comes now (sooner, and some might be lost). */
  arrived(bytes: number): void;
  close(): Promise<void>;
}

/** Serves `files` by path. */
export async function openFileServer(files: Record<string, ServedFile>): Promise<FileServer> {
  const requests: FileServer['requests'] = [];
  const counts = new Map<string, number>();
  const pendingCuts = new Map<number, ServerResponse>();
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const count = counts.get(path) ?? 0;
    counts.set(path, count + 1);
    requests.push({
      path,
      range: request.headers.range ?? null,
      ifRange: (request.headers['if-range'] as string | undefined) ?? null,
    });
    const file = files[path];
    if (file === undefined) response.writeHead(404).end('no such file');
    else answer(file, count, request, response, pendingCuts);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    arrived(bytes) {
      pendingCuts.get(bytes)?.destroy();
      pendingCuts.delete(bytes);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(
  file: ServedFile,
  count: number,
  request: IncomingMessage,
  response: ServerResponse,
  pendingCuts: Map<number, ServerResponse>,
): void {
  const status = file.statuses?.[count] ?? 200;
  if (status !== 200) return void response.writeHead(status).end();
  if (file.redirectTo !== undefined) {
    return void response.writeHead(302, { location: file.redirectTo, ...file.headers }).end('moved');
  }
  const size = file.content.byteLength;
  const [, wanted] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
  const ifRange = request.headers['if-range'];
  const partial =
    file.ranges !== false && wanted !== undefined && (ifRange === undefined || ifRange === file.etag);
  const start = partial ? Number(wanted) : 0;
  if (partial && start >= size)
    return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
  const stated = file.lieAboutRange === true ? start + 1 : start;
  response.writeHead(partial ? 206 : 200, {
    ...(file.chunked === true ? {} : { 'content-length': size - start }),
    ...(partial ? { 'content-range': `bytes ${stated}-${size - 1}/${size}` } : {}),
    ...(file.etag === undefined ? {} : { etag: file.etag }),
    ...file.headers,
  });
  const body = file.content.subarray(start);
  const cut = file.cuts?.[count];
  if (cut === 0) response.destroy();
  else if (cut !== undefined) {
    pendingCuts.set(start + cut, response);
    response.write(body.subarray(0, cut));
  } else if (file.stallAfter !== undefined) response.write(body.subarray(0, file.stallAfter));
  else response.end(body);
}
