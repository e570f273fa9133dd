/**
 * The frames of one session that are under way, and the drafts that they carry: a pure ledger. A draft may travel in
 * several frames, and a further draft may follow on the assumption that all before it is right, so that a frame's
 * first id can be a guess at the bonus token of the frame before (SwiftSpec, arXiv 2506.11309; PipeInfer).
 *
 * Invariant: frames are judged in the order in which they were sent. As soon as one token is wrong, everything behind
 * it is dead: the ledger empties, and the next frame opens a new epoch.
 */
import type { Verdict } from '../../shards/verify.ts';
import type { Draft } from '../drafting/drafter.ts';
import type { RingLoad } from './latency-model.ts';
import type { Frame } from './ring.ts';

/** One frame and the part of a draft that it carries. */
export interface FlightFrame {
  readonly frame: Frame;
  readonly draft: Draft;
  /** Index in the draft of its first guess. */
  readonly from: number;
  /** Is the first id a guess (at the bonus token of the frame before), or a committed token? */
  readonly continues: boolean;
  readonly sentMs: number;
  /** Rows that the ring lacked went ahead of it: a prompt, or what a worker has lost. */
  readonly opening: boolean;
  /** Nothing else of its session was under way when it left, so its time is the ring's own. */
  readonly alone: boolean;
  /** What other sessions had under way then. */
  readonly others: RingLoad;
  /** When the latency model expected its verdict, on the clock of sentMs. */
  readonly expectedMs: number;
}

/** A draft of which all tokens are judged. */
export interface JudgedDraft {
  readonly draft: Draft;
  /** As if the draft had been verified in one pass. */
  readonly verdict: Verdict;
}

export interface Settlement {
  /** The frame that the verdict answers. */
  readonly settled: FlightFrame;
  /** Drafts that are through, in order. One behind a wrong token was never judged and is not among them. */
  readonly judged: readonly JudgedDraft[];
  /** False: nothing that was sent after this frame counts. */
  readonly alive: boolean;
}

/** A draft that is being judged. */
interface Progress {
  readonly draft: Draft;
  accepted: number;
  readonly ids: number[];
}

export class Flight {
  private frames: FlightFrame[] = [];
  private progress: Progress | null = null;

  get length(): number {
    return this.frames.length;
  }

  /** Rows under way. */
  get rows(): number {
    return this.frames.reduce((sum, { frame }) => sum + frame.ids.length, 0);
  }

  /** When the last verdict is expected; null if nothing is under way. */
  get expectedMs(): number | null {
    return this.frames.at(-1)?.expectedMs ?? null;
  }

  /** Ids that the ring has been sent as guesses and that are not judged yet, in order. */
  assumedIds(): number[] {
    return this.frames.flatMap(({ frame, continues }) => [
      ...frame.ids.subarray(continues ? 0 : frame.headFrom + 1),
    ]);
  }

  /** The same with the chance of each, given those before it, as the drafts were believed when they were made. */
  guesses(): { readonly id: number; readonly chance: number }[] {
    return this.frames.flatMap(({ frame, continues, draft, from }) => {
      const ids = [...frame.ids.subarray(continues ? 0 : frame.headFrom + 1)];
      return ids.map((id, i) => ({
        id,
        chance: draft.chances?.[from + i] ?? draft.reach ** (1 / draft.ids.length),
      }));
    });
  }

  /** Round of the last frame that left; null if none is under way. */
  get lastRound(): number | null {
    return this.frames.at(-1)?.frame.round ?? null;
  }

  /** Chance that all of that is right, as the drafts were believed when they were made. */
  reach(): number {
    return [...new Set(this.frames.map(({ draft }) => draft))].reduce(
      (reach, draft) => reach * draft.reach,
      1,
    );
  }

  push(frame: FlightFrame): void {
    this.frames.push(frame);
  }

  /** Takes over a verdict; null if it answers nothing that is under way (a late one of an older epoch). */
  settle(round: number, verdict: Verdict): Settlement | null {
    const [settled, next] = this.frames;
    if (settled === undefined || settled.frame.round !== round) return null;
    this.frames.shift();
    const { frame, draft } = settled;
    const progress = this.progressOf(draft);
    progress.accepted += verdict.accepted;
    progress.ids.push(...verdict.ids);
    const guesses = frame.ids.length - frame.headFrom - 1;
    const right = verdict.accepted === guesses && !verdict.finished;
    const own = verdict.ids[verdict.ids.length - 1]!;
    const alive = right && (next === undefined || next.frame.ids[0] === own);
    const judged: JudgedDraft[] = [];
    if (next === undefined || next.draft !== draft || !right) {
      judged.push(this.conclude(progress, verdict));
      if (right && next !== undefined) {
        // The bonus token is also the verdict on the first guess of the draft behind.
        const follower = this.progressOf(next.draft);
        follower.ids.push(own);
        if (alive) follower.accepted += 1;
        else judged.push(this.conclude(follower, verdict));
      }
    } else if (alive) progress.accepted += 1;
    else judged.push(this.conclude(progress, verdict));
    if (!alive) this.clear();
    return { settled, judged, alive };
  }

  /** Everything under way is given up. */
  clear(): void {
    this.frames = [];
    this.progress = null;
  }

  private progressOf(draft: Draft): Progress {
    if (this.progress?.draft !== draft) this.progress = { draft, accepted: 0, ids: [] };
    return this.progress;
  }

  private conclude({ draft, accepted, ids }: Progress, { finished }: Verdict): JudgedDraft {
    this.progress = null;
    const kind = accepted < draft.ids.length ? 'recovered' : 'bonus';
    return { draft, verdict: { accepted, ids: Uint32Array.from(ids), kind, finished } };
  }
}
