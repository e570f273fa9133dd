/**
 * Every bound of a worker by name, with its reason. A peer meets them as ShardError limit, as flow control, or as
 * the end of a session that waited too long.
 */

export interface WorkerLimits {
  /** Sessions at once. */
  readonly sessionsMax: number;
  /** TCP connections at once. */
  readonly connectionsMax: number;
  /** Frames of one session that wait; above, its stream is not read and flow control holds the sender. */
  readonly sessionFramesMax: number;
  /** Bytes of the same. */
  readonly sessionBytesMax: number;
  /** Bytes of waiting frames over all sessions; above, the session whose frame it was ends with `limit`. */
  readonly queueBytesMax: number;
  /** A prefill chunk that has waited so long goes by its turn, before later verify frames of others; one at a time. */
  readonly prefillWaitMaxMs: number;
  /** Sessions whose rows share a pass; the engine may have fewer slots. 1 runs each alone. */
  readonly passSessionsMax: number;
  /** Stages of a ring that can run at once: those on one machine share its cores. */
  readonly stagesAtOnceMax: number;
  /** Rows of a pass that several sessions share. */
  readonly passRowsMax: number;
  /** A frame of more rows runs alone. */
  readonly sharedRowsMax: number;
  /** Asked about its load, the engine must answer within this: it runs its pass to the end first. */
  readonly loadWaitMs: number;
  /** A stream must bring its OPEN, and a session must have all its streams, within this. Also the grace of a broken stream. */
  readonly graceMs: number;
  /** Next hops that a worker holds connections to. */
  readonly peersMax: number;
  /** close() waits so long for the pass in flight and for streams to end. */
  readonly drainMs: number;
}

export const workerLimits: WorkerLimits = {
  /** As many caches of a small model as 8 GB hold; the key/value budget refuses earlier for larger ones. */
  sessionsMax: 256,
  /** Gateways and workers before this one, some of them half dead. */
  connectionsMax: 256,
  /** 2,048 tokens of prefill, or a window of drafts that no ring is deep enough for. */
  sessionFramesMax: 32,
  /** The window of one stream once more. */
  sessionBytesMax: 8 << 20,
  /** Thirty-two sessions at their own bound. */
  queueBytesMax: 256 << 20,
  /** Five chunks of the default model. */
  prefillWaitMaxMs: 500,
  /** As many as the graph has slots (src/models/pack.ts). */
  passSessionsMax: 8,
  /** Each on a machine of its own, until told otherwise. */
  stagesAtOnceMax: Number.POSITIVE_INFINITY,
  /** One prefill chunk: whoever comes during a pass waits for no more than that. */
  passRowsMax: 64,
  /** A usual draft. Of a longer frame company would save less than a quarter, and cost the company all of its time. */
  sharedRowsMax: 17,
  /** The longest pass of a slow machine, and shorter than a probe's patience. */
  loadWaitMs: 3000,
  /** Longer than any round trip, shorter than a user's patience. */
  graceMs: 10_000,
  /** Replicas of the next range; a route names one of them. */
  peersMax: 32,
  /** One prefill chunk of a slow machine; a supervisor kills after ten seconds. */
  drainMs: 1500,
};
