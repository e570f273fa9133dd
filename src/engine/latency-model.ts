/**
 * What time on this ring is made of, fitted online from what verdicts tell, each term on its own measurement so that it
 * can be read (an interpretable latency model, arXiv 2605.15051, with links and stages in place of one server):
 *
 *   round(rows, others) = links + Σ over stages (fixed + perRow · rows) + load(others)
 *   draft(tokens)       = fixed + perToken · tokens
 *   prefill(rows, others) = fixed + perRow · rows + load(others)
 *   load(others)        = perRow · rows + perPrompt · prompts
 *
 * `others` is what other sessions have under way when a frame leaves. Load per row is their c2: by symmetry it is also
 * what one more row costs each other session. A prompt's chunks are a term of their own: a frame waits for one that runs,
 * which costs many times what frames beside it do. Feeds the size of frames, draft lengths, the order of sessions, the
 * rows that may be under way, and the times told to clients.
 */
import type { Draft } from '../drafting/drafter.ts';
import { createLineFit, type LineFit } from '../drafting/line-fit.ts';
import type { RingVerdict } from './ring.ts';
import { prefillChunkRows } from './session.ts';
import type { StageCost } from './slices.ts';

/** Believed of a stage until the first verdicts: a quarter of a 135M model on one core. */
const stagePrior = { level: 3, slope: 1 };
/** Believed of a draft's time: a trained head. */
const draftPrior = { level: 5, slope: 1.5 };
/** Believed of the time to the first token: a round, and per row what flows through the slowest stage. */
const prefillPrior = { level: 120, slope: 1 };
/** Prompts come seconds apart: their level follows the last three, or it would tell of the load of half a minute ago. */
const prefillLevelDecay = 0.7;
/** Weight of what was known when a new time in links comes in: links drift within seconds. */
const linkDecay = 0.8;
/** Weight of earlier evidence of what others' rows cost: it holds for the load of the last hundred rounds. */
const loadDecay = 0.98;
/** Evidence that outweighs the prior: so many rounds beside ten rows of others. */
const loadPriorWeight = 2 * 10 ** 2;
/** Believed share of the slowest stage's time of a row, and of a chunk's time in all, that another session waits for it. */
const loadPriorShare = 0.5;
/** Evidence of prompts that outweighs the prior: so many rounds beside one. */
const promptPriorWeight = 2;

/** What is on the ring at a moment. */
export interface RingLoad {
  /** Of verify frames. */
  readonly rows: number;
  /** That take several chunks. */
  readonly prompts: number;
}

export const idleRing: RingLoad = { rows: 0, prompts: 0 };

/** A frame as it was when it left. */
interface SentFrame {
  readonly rows: number;
  /** Of other sessions. */
  readonly others: RingLoad;
  readonly sentMs: number;
  /** Nothing else of its session was under way, so its time is the ring's own. */
  readonly alone: boolean;
  /** Rows that the ring lacked went ahead of it. */
  readonly opening: boolean;
}

/** The terms as they stand, ms. */
export interface LatencyTerms {
  readonly linksMs: number;
  /** Of each stage, in the order of the ring. */
  readonly stages: readonly StageCost[];
  /** Sums over the stages. */
  readonly stagesFixedMs: number;
  readonly stagesRowMs: number;
  readonly loadRowMs: number;
  readonly loadPromptMs: number;
  /** By drafter: what one more token of a draft takes. */
  readonly draftTokenMs: ReadonlyMap<string, number>;
  readonly prefillFixedMs: number;
  readonly prefillRowMs: number;
}

export interface LatencyModel {
  /** Pass of the slowest stage. */
  stage(): StageCost;
  terms(): LatencyTerms;
  roundMs(rows: number, others: RingLoad): number;
  /** Time that a draft of this source and length takes. */
  draftMs(draft: Draft): number;
  /** From the first frame of so many rows that the ring lacks to the verdict behind them. */
  prefillMs(rows: number, others: RingLoad): number;
  /** Do links cost more than a pass of one row, so that overlapping is worth wasted rows? */
  pipeliningPays(): boolean;
  /** Share of a round trip that its passes take, the rest being links. */
  passShare(): number;
  /**
   * Rows under way that keep the slowest stage busy by passes in which the fixed cost is a small share: those in a pass
   * there, and as many again for each pass that fits into the rest of the way round.
   */
  fillingRows(): number;
  observeVerdict(frame: SentFrame, result: { nowMs: number; stages: RingVerdict['stages'] }): void;
  observeDraft(draft: Draft): void;
  observePrefill(rows: number, others: RingLoad, elapsedMs: number): void;
}

/** Rows of a pass cost so many times its fixed part where stages count as full. */
const fullPassFactor = 8;
/** A draft and its bonus: with less of them than one for each stage under way, stages stand still however cheap a pass is. */
const frameRowsUsual = 8;

/** Of one frame among several that follow one another. */
const frameRowsShort = 4;

export function createLatencyModel(): LatencyModel {
  let stageFits: LineFit[] = [createLineFit(stagePrior)];
  let links: number | null = null;
  const rowLoad = { covariance: 0, spread: 0 };
  const promptLoad = { covariance: 0, spread: 0 };
  /** By drafter, of which there are a handful. */
  const drafts = new Map<string, LineFit>();
  const prefill = createLineFit(prefillPrior, { levelDecay: prefillLevelDecay });

  const sumOf = (of: (fit: LineFit) => number): number => stageFits.reduce((sum, fit) => sum + of(fit), 0);
  const linksMs = (): number => links ?? 0;
  const passesMs = (rows: number): number => sumOf((fit) => fit.at(rows));

  function stage(): StageCost {
    const slowest = stageFits.reduce((most, fit) =>
      fit.at(frameRowsUsual) > most.at(frameRowsUsual) ? fit : most,
    );
    return { fixedMs: slowest.at(0), perRowMs: slowest.slope };
  }

  function loadRowMs(): number {
    const prior = loadPriorShare * stage().perRowMs;
    return Math.max(0, (rowLoad.covariance + loadPriorWeight * prior) / (rowLoad.spread + loadPriorWeight));
  }

  function loadPromptMs(): number {
    const prior = loadPriorShare * passesMs(prefillChunkRows);
    const { covariance, spread } = promptLoad;
    return Math.max(0, (covariance + promptPriorWeight * prior) / (spread + promptPriorWeight));
  }

  function loadMs({ rows, prompts }: RingLoad): number {
    return loadRowMs() * rows + loadPromptMs() * prompts;
  }

  /** What a frame took beyond what it would have taken alone: without prompts it tells of rows, beside them of these. */
  function observeLoad({ rows, prompts }: RingLoad, extraMs: number): void {
    const [load, count] = prompts > 0 ? [promptLoad, prompts] : [rowLoad, rows];
    const ownMs = prompts > 0 ? extraMs - loadRowMs() * rows : extraMs;
    load.covariance = loadDecay * load.covariance + count * ownMs;
    load.spread = loadDecay * load.spread + count ** 2;
  }

  return {
    stage,
    terms: () => ({
      linksMs: linksMs(),
      stages: stageFits.map((fit) => ({ fixedMs: fit.at(0), perRowMs: fit.slope })),
      stagesFixedMs: passesMs(0),
      stagesRowMs: sumOf(({ slope }) => slope),
      loadRowMs: loadRowMs(),
      loadPromptMs: loadPromptMs(),
      draftTokenMs: new Map([...drafts].map(([source, fit]) => [source, fit.slope])),
      prefillFixedMs: prefill.at(0),
      prefillRowMs: prefill.slope,
    }),
    roundMs: (rows, others) => linksMs() + passesMs(rows) + loadMs(others),
    draftMs: ({ source, ids }) => drafts.get(source)?.at(ids.length) ?? 0,
    prefillMs: (rows, others) => prefill.at(rows) + loadMs(others),
    pipeliningPays: () => links !== null && links > passesMs(1),
    passShare() {
      const passes = passesMs(frameRowsShort);
      // Where neither takes time that could be told, nothing says that a row is cheap.
      return passes === 0 && linksMs() === 0 ? 1 : passes / (linksMs() + passes);
    },
    fillingRows() {
      const { fixedMs, perRowMs } = stage();
      if (perRowMs <= 0) return Number.POSITIVE_INFINITY;
      const passRows = Math.max(frameRowsUsual, (fullPassFactor * fixedMs) / perRowMs);
      return (passRows * (linksMs() + passesMs(passRows))) / (fixedMs + perRowMs * passRows);
    },
    observeVerdict({ rows, others, sentMs, alone, opening }, { nowMs, stages }) {
      if (stages.length === 0 || opening) return;
      // Another number of stages is another route: nothing of the old one's passes holds.
      if (stages.length !== stageFits.length) stageFits = stages.map(() => createLineFit(stagePrior));
      for (const [index, { passRows, runUs }] of stages.entries()) {
        stageFits[index]!.observe(passRows, runUs / 1000);
      }
      if (!alone) return;
      const busyMs = stages.reduce((sum, { queueUs, runUs }) => sum + queueUs + runUs, 0) / 1000;
      const now = Math.max(0, nowMs - sentMs - busyMs);
      links = links === null ? now : linkDecay * links + (1 - linkDecay) * now;
      if (others.rows + others.prompts > 0) observeLoad(others, busyMs - passesMs(rows));
    },
    observeDraft({ source, ids, draftMs }) {
      if (!drafts.has(source)) drafts.set(source, createLineFit(draftPrior));
      drafts.get(source)!.observe(ids.length, draftMs);
    },
    observePrefill: (rows, others, elapsedMs) =>
      prefill.observe(rows, Math.max(0, elapsedMs - loadMs(others))),
  };
}
