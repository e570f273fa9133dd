/**
 * A ShardEngine without arithmetic, for everything around it: hidden rows carry (id, position, hash of the prefix,
 * stages passed), every stage checks what the one before claims, and the tail's next token is a pure function of the
 * prefix. So a row that is lost, doubled, misplaced or of the wrong session shows as a wrong token or a thrown error.
 */

import type {
  ForwardPass,
  ForwardReport,
  PassOutcome,
  PassResult,
  ShardEngine,
  TailOptions,
} from '../../shards/engine.ts';
import { ShardError, toShardError } from '../../shards/errors.ts';
import { protocolVersion } from '../../shards/frame.ts';
import type { LayerRange, ModelDims, ShardManifest } from '../../shards/manifest.ts';
import { isFirst, isTail } from '../../shards/manifest.ts';
import { verify } from '../../shards/verify.ts';

export const fakeDims: ModelDims = {
  architecture: 'llama',
  layers: 6,
  hidden: 4,
  heads: 1,
  kvHeads: 1,
  headDim: 4,
  ffn: 4,
  vocab: 1000,
  contextLength: 4096,
  ropeTheta: 10_000,
  rmsEpsilon: 1e-5,
};

export function fakeManifest(range: LayerRange, fingerprint = 'fake'): ShardManifest {
  return {
    protocol: protocolVersion,
    modelName: 'fake',
    dims: fakeDims,
    range,
    identity: {
      modelSha256: 'a'.repeat(64),
      quantisation: 'native',
      rotary: 'half',
      padAttention: true,
      flashAttention: false,
      runtime: 'fake',
      wire: 'f32',
      fingerprint,
    },
    invariant: true,
    kvBytesPerPosition: 16,
  };
}

/** Exact in a float32. */
function extendHash(hash: number, id: number): number {
  return (hash * 31 + id + 7) % 65_521;
}

/** The target's own token after a prefix. */
export function fakeNextToken(prefix: readonly number[]): number {
  return nextOfHash(prefix.reduce(extendHash, 1));
}

function nextOfHash(hash: number): number {
  return (hash * 257) % fakeDims.vocab;
}

/** What plain decoding says after `prompt`. */
export function fakeContinuation(prompt: readonly number[], count: number): number[] {
  const ids = [...prompt];
  while (ids.length < prompt.length + count) ids.push(fakeNextToken(ids));
  return ids.slice(prompt.length);
}

export interface FakeEngine extends ShardEngine {
  /** Sessions with a live cache; kept ones are not counted. */
  readonly openSessions: ReadonlySet<string>;
  readonly keptSessions: ReadonlySet<string>;
  /** The rows of every session that ran, in order. */
  readonly passes: readonly ForwardPass[];
  /** Sessions in each pass. */
  readonly passSessions: readonly number[];
}

export interface FakeEngineOptions {
  readonly range: LayerRange;
  /** Called for each session of a pass before it runs; may wait, or throw to fail that session. */
  readonly beforePass?: (pass: ForwardPass) => Promise<void> | void;
}

const fakeSlots = 8;

export function createFakeEngine({ range, beforePass }: FakeEngineOptions): FakeEngine {
  const hashes = new Map<string, number[]>();
  const tails = new Map<string, TailOptions>();
  const open = new Set<string>();
  const kept = new Set<string>();
  const passes: ForwardPass[] = [];
  const passSessions: number[] = [];
  let inFlight = false;

  function run(pass: ForwardPass): PassResult {
    const prefix = hashes.get(pass.session);
    if (prefix === undefined) throw new ShardError('unknown_session', `no session ${pass.session}`);
    if (pass.position > prefix.length) {
      throw new ShardError('gap', 'beyond', { detail: { length: prefix.length } });
    }
    passes.push(pass);
    prefix.length = pass.position;
    const hidden = new Float32Array(4 * pass.ids.length);
    for (const [row, id] of pass.ids.entries()) {
      const hash = extendHash(prefix.at(-1) ?? 1, id);
      prefix.push(hash);
      const before = pass.hidden?.subarray(4 * row, 4 * row + 4);
      const stage = before?.[3] ?? 0;
      if (
        before !== undefined &&
        (before[0] !== id || before[1] !== pass.position + row || before[2] !== hash)
      ) {
        throw new Error(`row ${row} is not the one of position ${pass.position + row}`);
      }
      hidden.set([id, pass.position + row, hash, stage + 1], 4 * row);
    }
    if (isFirst(range) !== (pass.hidden === null)) throw new Error('rows of the wrong range');
    if (!isTail(range, fakeDims)) return { hidden, verdict: null };
    if (pass.headFrom === pass.ids.length) return { hidden: null, verdict: null };
    const options = tails.get(pass.session)!;
    const verdict = verify({
      draft: pass.ids.subarray(pass.headFrom + 1),
      chooseAt: (row) => nextOfHash(prefix[pass.position + pass.headFrom + row]!),
      eosIds: options.ignoreEos ? [] : options.eosIds,
    });
    return { hidden: null, verdict };
  }

  return {
    openSessions: open,
    keptSessions: kept,
    passes,
    passSessions,
    slots: fakeSlots,
    async open(session, adopt) {
      const donor = adopt === null ? [] : hashes.get(adopt.donor);
      if (donor === undefined) throw new ShardError('unknown_session', 'no such donor');
      hashes.set(session, donor.slice(0, adopt?.length ?? 0));
      open.add(session);
    },
    async prepareTail() {},
    async openTail(session, options) {
      if (!open.has(session)) throw new ShardError('unknown_session', 'openTail before open');
      tails.set(session, options);
    },
    async forward(together): Promise<ForwardReport> {
      if (inFlight) throw new Error('two passes at once');
      if (together.length > fakeSlots) throw new Error('more sessions than slots');
      if (new Set(together.map(({ session }) => session)).size < together.length) {
        throw new Error('a session twice in a pass');
      }
      inFlight = true;
      const outcomes: PassOutcome[] = [];
      let rows = 0;
      for (const pass of together) {
        try {
          await beforePass?.(pass);
          outcomes.push({ result: run(pass) });
          rows += pass.ids.length;
        } catch (thrown) {
          outcomes.push({ error: toShardError(thrown) });
        }
      }
      inFlight = false;
      const sessions = outcomes.filter((outcome) => 'result' in outcome).length;
      passSessions.push(sessions);
      return { outcomes, rows, sessions, runUs: 5 };
    },
    async close(session, mode) {
      if (open.delete(session) && mode === 'keep') kept.add(session);
      if (mode === 'free') {
        kept.delete(session);
        hashes.delete(session);
      }
      tails.delete(session);
    },
    async load() {
      const counts = { passes: passSessions.length, frames: passes.length, rows: 0, slots: fakeSlots };
      return { sessions: open.size, kvBytes: 0, kvBytesMax: 1, ...counts };
    },
    async dispose() {},
  };
}
