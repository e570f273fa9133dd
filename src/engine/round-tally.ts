/**
 * Adds up what the frames of one draft cost until the draft is judged, and then makes the round's record of it. Rounds
 * tile the time: where drafts overlap, each counts from the end of the one before.
 */
import type { Verdict } from '../../shards/verify.ts';
import type { Draft } from '../drafting/drafter.ts';
import type { FlightFrame } from './flight.ts';
import type { RingLoad } from './latency-model.ts';
import type { RingVerdict } from './ring.ts';
import type { RoundRecord } from './session-stats.ts';

/** A frame that met an idle ring: its time is the ring's own. */
interface RoundTime {
  readonly roundMs: number | null;
  readonly roundRows?: number;
}

export class RoundTally {
  private startMs: number | null = null;
  private linkBytes = 0;
  private committed = 0;
  private computeMs = 0;
  private queueMs = 0;
  private frames = 0;
  private answeredRows = 0;
  private stagesMs: number[] = [];
  private fromIdle = false;
  private opening = false;
  private expectedMs = 0;
  private others: RingLoad | null = null;
  private roundTime: RoundTime = { roundMs: null };

  /** Frames leave; the round has begun now unless it had. */
  begin(nowMs: number): void {
    if (this.startMs !== null) return;
    this.startMs = nowMs;
    this.fromIdle = true;
  }

  /** A frame's verdict. `first`: of the answer. */
  add(
    { frame, sentMs, opening, alone, expectedMs, others }: FlightFrame,
    result: { nowMs: number; stages: RingVerdict['stages']; committed: number; first: boolean },
  ): void {
    this.committed += result.committed;
    this.opening ||= result.first;
    this.expectedMs = expectedMs;
    this.others ??= others;
    this.frames += 1;
    this.answeredRows += frame.ids.length - frame.headFrom;
    for (const [stage, { queueUs, runUs }] of result.stages.entries()) {
      this.stagesMs[stage] = (this.stagesMs[stage] ?? 0) + runUs / 1000;
      this.queueMs += queueUs / 1000;
      this.computeMs += runUs / 1000;
    }
    if (alone && !opening) this.roundTime = { roundMs: result.nowMs - sentMs, roundRows: frame.ids.length };
  }

  /** The draft is judged: its record. What comes next is counted anew. */
  conclude(draft: Draft, verdict: Verdict, nowMs: number, linkBytes: number): RoundRecord {
    const record = {
      rows: draft.ids.length + 1,
      drafted: draft.ids.length,
      accepted: verdict.accepted,
      committed: this.committed,
      source: draft.source,
      draftMs: draft.draftMs,
      prepared: draft.prepared ?? null,
      roundMs: nowMs - (this.startMs ?? nowMs),
      predictedMs: Math.max(0, this.expectedMs - (this.startMs ?? nowMs)),
      othersRows: this.others?.rows ?? 0,
      othersPrompts: this.others?.prompts ?? 0,
      computeMs: this.computeMs,
      queueMs: this.queueMs,
      frames: this.frames,
      answeredRows: this.answeredRows,
      stagesMs: this.stagesMs,
      fromIdle: this.fromIdle,
      linkBytes: linkBytes - this.linkBytes,
      opening: this.opening,
    };
    this.startMs = nowMs;
    this.linkBytes = linkBytes;
    this.committed = 0;
    this.computeMs = 0;
    this.queueMs = 0;
    this.frames = 0;
    this.answeredRows = 0;
    this.stagesMs = [];
    this.others = null;
    this.fromIdle = false;
    this.opening = false;
    return record;
  }

  /** Nothing is under way any more: the next round begins when its frames leave. */
  rest(): void {
    this.startMs = null;
  }

  takeRoundTime(): RoundTime {
    const time = this.roundTime;
    this.roundTime = { roundMs: null };
    return time;
  }
}
