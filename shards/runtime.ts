/** The inference runtime's version: part of every shard's identity, since kernels and so bits follow it. */
import { createRequire } from 'node:module';

const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };

export const runtimeVersion: string = version;
