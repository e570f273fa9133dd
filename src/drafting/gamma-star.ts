/**
 * The best draft length in closed form, for one constant acceptance chance alpha: the reference that the controller's
 * search is held against. Minimises (fixed + perToken·g)(1 - alpha)/(1 - alpha^(g+1)), whose stationary point is
 * g* = (1 + W₋₁(-alpha^(fixed/perToken - 1)/e)) / ln(alpha) - fixed/perToken, W₋₁ the lower branch of Lambert's W.
 * Source: TK-SLT (arXiv 2509.04576) says that the form exists; derived anew, checked by search.
 */

export interface GammaCosts {
  /** Time of a round whatever the draft, ms. */
  readonly fixedMs: number;
  /** What one draft token adds (drafting and verifying), ms; above 0. */
  readonly perTokenMs: number;
}

/** Real-valued stationary point; 0 where no draft can pay (perToken > fixed). alpha within (0, 1). */
export function gammaStar(alpha: number, { fixedMs, perTokenMs }: GammaCosts): number {
  const ratio = fixedMs / perTokenMs;
  if (ratio <= 1) return 0;
  // The argument underflows for long rounds, so W takes its logarithm: x = -e^-u.
  const u = 1 - (ratio - 1) * Math.log(alpha);
  return Math.max(0, (1 + lambertLower(u)) / Math.log(alpha) - ratio);
}

/** The best whole length: one of the two beside gamma*, or 0 if neither beats plain decoding. */
export function bestGamma(alpha: number, costs: GammaCosts): number {
  const real = gammaStar(alpha, costs);
  let best = 0;
  for (const gamma of [Math.floor(real), Math.ceil(real)]) {
    if (timePerToken(alpha, gamma, costs) < timePerToken(alpha, best, costs)) best = gamma;
  }
  return best;
}

/** Expected ms per committed token at draft length gamma. */
export function timePerToken(alpha: number, gamma: number, { fixedMs, perTokenMs }: GammaCosts): number {
  return ((fixedMs + perTokenMs * gamma) * (1 - alpha)) / (1 - alpha ** (gamma + 1));
}

/** W₋₁(-e^-u) for u >= 1: the root w <= -1 of w + ln(-w) + u = 0, by Newton from the asymptote. */
function lambertLower(u: number): number {
  if (u <= 1) return -1;
  let w = -u - Math.log(u) - Math.sqrt(2 * (u - 1)) / (1 + u);
  for (let step = 0; step < 50; step++) {
    const next = Math.min(w - (w + Math.log(-w) + u) / (1 + 1 / w), -1 - 1e-12);
    if (Math.abs(next - w) < 1e-12 * Math.abs(w)) return next;
    w = next;
  }
  return w;
}
