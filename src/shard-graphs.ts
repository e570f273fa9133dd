/**
 * Which graphs a worker loads. Sessions that share a pass need the graph of several slots; it runs a single one too, up to
 * a tenth slower than the graph of one. Both together hold the weights twice, since the runtime packs them for each
 * (figures in docs/log.md), so the second is loaded where memory is plentiful alone.
 */
import type { ShardGraph } from '../shards/executor.ts';
import type { PackedShard } from './models/pack.ts';

export const batchGraphs = ['auto', 'one', 'two'] as const;
export type BatchGraphs = (typeof batchGraphs)[number];

/** What a loaded graph takes for each byte of its weights: the packed copy and what the runtime keeps beside it. */
const bytesPerWeightByte = 2;
/** Workers of one machine start together and see the same free memory: each leaves room for four. */
const memoryShare = 4;

export interface GraphChoice {
  readonly onnxPath: string;
  readonly slots: number;
  readonly shared: ShardGraph | null;
}

export interface GraphOptions {
  readonly pack: Pick<PackedShard, 'onnxPath' | 'shared' | 'weightBytes'>;
  /** Sessions that may share a pass; 1: none do. */
  readonly batchSessions: number;
  readonly batchGraphs: BatchGraphs;
  readonly kvBytesMax: number;
  /** Memory that this process may still take. */
  readonly availableBytes: number;
}

export function chooseGraphs(options: GraphOptions): GraphChoice {
  const { pack, batchSessions } = options;
  const alone = { onnxPath: pack.onnxPath, slots: 1, shared: null };
  if (batchSessions === 1) return alone;
  return twoFit(options) ? { ...alone, shared: pack.shared } : { ...pack.shared, shared: null };
}

function twoFit({ pack, batchGraphs, kvBytesMax, availableBytes }: GraphOptions): boolean {
  if (batchGraphs !== 'auto') return batchGraphs === 'two';
  return availableBytes >= kvBytesMax + memoryShare * 2 * bytesPerWeightByte * pack.weightBytes;
}
