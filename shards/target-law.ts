/**
 * The target's law at one position, for rules that ask a few things of it instead of all V probabilities: one scan of
 * the logits, nothing allocated. Exact to about 1e-9 of the normaliser, and the same numbers on every machine: only
 * additions, multiplications and one table of exponentials, all in f64 and in the order of ids.
 */
import { isFiltered, type Sampling, targetProbs } from './sampler.ts';

export interface TargetLaw {
  /** Probability of the likeliest id. */
  readonly largest: number;
  probOf(id: number): number;
  /** In nats. */
  entropy(): number;
}

/** Ids so many nats below the likeliest are left out: 49,152 of them weigh 6e-10 together. */
const depthMax = 32;
/** Table entries per nat; the rest of the exponent, at most 1/64, is a polynomial of fourth order: exact to 1e-11. */
const entriesPerNat = 64;
const exponentials = Float64Array.from({ length: depthMax * entriesPerNat + 1 }, (_, i) =>
  Math.exp(-i / entriesPerNat),
);

/** Of a row whose every id is masked. */
const nothingLeft: TargetLaw = { largest: 0, probOf: () => 0, entropy: () => 0 };

/** The law that a row is chosen from; for greedy rows, which have none of their own, the model's: temperature 1. */
export function targetLaw(logits: Float32Array, sampling: Sampling): TargetLaw {
  if (sampling.temperature <= 0) return lawOfLogits(logits, 1);
  if (isFiltered(sampling, logits.length)) return lawOfProbs(targetProbs(logits, sampling));
  return lawOfLogits(logits, sampling.temperature);
}

function lawOfLogits(logits: Float32Array, temperature: number): TargetLaw {
  let peak = -Infinity;
  for (let id = 0; id < logits.length; id++) if (logits[id]! > peak) peak = logits[id]!;
  if (peak === -Infinity) return nothingLeft;
  let mass = 0;
  let depths = 0;
  for (let id = 0; id < logits.length; id++) {
    const depth = (peak - logits[id]!) / temperature;
    // Also where a mask has put -Infinity.
    if (!(depth <= depthMax)) continue;
    const weight = weightAt(depth);
    mass += weight;
    depths += weight * depth;
  }
  return {
    largest: 1 / mass,
    probOf(id) {
      const depth = (peak - logits[id]!) / temperature;
      return Math.exp(-depth) / mass;
    },
    entropy: () => Math.log(mass) + depths / mass,
  };
}

/** exp(-depth), 0 <= depth <= depthMax: a third of the time of Math.exp, which is most of a scan otherwise. */
function weightAt(depth: number): number {
  const entry = Math.trunc(depth * entriesPerNat);
  const rest = entry / entriesPerNat - depth;
  return exponentials[entry]! * (1 + rest * (1 + rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24)))));
}

function lawOfProbs(probs: Float64Array): TargetLaw {
  let largest = 0;
  for (let id = 0; id < probs.length; id++) if (probs[id]! > largest) largest = probs[id]!;
  return {
    largest,
    probOf: (id) => probs[id]!,
    entropy: () => entropyOf(probs),
  };
}

/** In nats. */
export function entropyOf(probs: Float64Array): number {
  let sum = 0;
  for (let id = 0; id < probs.length; id++) if (probs[id]! > 0) sum -= probs[id]! * Math.log(probs[id]!);
  return sum;
}
