/**
 * A ring without engines or sockets: frames arrive after a seeded delay, in order, and are judged by the worker's own
 * rules (shard-session.ts, verify.ts) against a target that is a pure function of what came before.
 */
import { createShardSession } from '../../shards/shard-session.ts';
import { verify } from '../../shards/verify.ts';
import type { Frame, Ring, RingHandlers, RingOpen } from '../../src/engine/ring.ts';

export interface SimRingOptions {
  /** Size of the vocabulary. */
  readonly vocab: number;
  readonly random: () => number;
  readonly stages?: number;
  /** Chance that a worker forgets rows before a frame and asks for them again. */
  readonly gapChance?: number;
}

export interface SimRing extends Ring {
  readonly open: Ring['open'];
  /** Sessions that were opened and not closed. */
  openSessions(): number;
  /** Frames that were sent, and those that ran. */
  readonly counts: { sent: number; ran: number };
}

/** The target's token after `tokens`: a hash of the last two, so that text wanders and repeats. */
export function simTarget(tokens: readonly number[], vocab: number): number {
  const [a = 1, b = 1] = tokens.slice(-2);
  return ((Math.imul(a + 7, 0x9e3779b1) ^ Math.imul(b + 13, 0x85ebca6b)) >>> 5) % vocab;
}

export function createSimRing(options: SimRingOptions): SimRing {
  const { vocab, random, stages = 4, gapChance = 0 } = options;
  const counts = { sent: 0, ran: 0 };
  let sessions = 0;

  function open({ tail }: RingOpen, handlers: RingHandlers): ReturnType<Ring['open']> {
    sessions += 1;
    let closed = false;
    let rows: number[] = [];
    const rules = createShardSession({ tail: true, length: 0 });
    let queue = Promise.resolve();

    function judge(frame: Frame): void {
      if (closed) return;
      const decision = rules.decide(frame);
      if (decision.action === 'gap') handlers.onGap({ epoch: frame.epoch, length: decision.length });
      if (decision.action !== 'run') return;
      if (random() < gapChance) {
        const length = Math.floor(random() * rows.length);
        rows.length = length;
        rules.shorten(frame, length);
        handlers.onGap({ epoch: frame.epoch, length });
        return;
      }
      counts.ran += 1;
      rows = [...rows.slice(0, frame.position), ...frame.ids];
      if (frame.headFrom === frame.ids.length) {
        rules.settle(frame, null);
        return;
      }
      const draft = frame.ids.subarray(frame.headFrom + 1);
      const first = frame.position + frame.headFrom;
      const verdict = verify({
        draft,
        eosIds: tail.eosIds,
        chooseAt: (row) => simTarget(rows.slice(0, first + row + 1), vocab),
      });
      rules.settle(frame, verdict);
      const { epoch, round } = frame;
      handlers.onVerdict({
        epoch,
        round,
        position: first + 1,
        verdict,
        stages: [{ queueUs: 0, runUs: 1000, passRows: frame.ids.length, passSessions: 1 }],
      });
    }

    return {
      forward(frame) {
        counts.sent += 1;
        const turns = 1 + Math.floor(random() * 4);
        queue = queue.then(async () => {
          for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
          judge(frame);
        });
      },
      linkBytes: () => 0,
      close() {
        if (!closed) sessions -= 1;
        closed = true;
      },
    };
  }

  return { stages: () => stages, open, openSessions: () => sessions, counts };
}
