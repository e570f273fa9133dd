/**
 * Workers → a route: their ranges in order, without gap or overlap, all cut from one model with one arithmetic.
 * Pure; every refusal names the worker and what to change.
 */
import { formatRange, identityDifference, isTail, type ShardManifest } from '../../shards/manifest.ts';

export interface RouteMember {
  readonly origin: string;
  readonly manifest: ShardManifest;
}

/** A cluster that cannot serve as it stands: an operator's mistake, not a passing fault. */
export class RouteError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'RouteError';
  }
}

export interface RouteRules {
  /** The file whose tokens the gateway reads and writes; null: any, if it is one. */
  readonly modelSha256: string | null;
  /** Admits workers whose invariance proof failed. */
  readonly allowVariant: boolean;
}

/** Members in ring order. Throws RouteError. */
export function planRoute(members: readonly RouteMember[], rules: RouteRules): RouteMember[] {
  const [reference] = members;
  if (reference === undefined) throw new RouteError('No workers are configured.');
  for (const member of members) checkMember(member, reference, rules);
  const route = [...members].sort((a, b) => a.manifest.range.start - b.manifest.range.start);
  let covered = 0;
  for (const { origin, manifest } of route) {
    const { range } = manifest;
    if (range.start > covered) {
      throw new RouteError(
        `No worker serves layers [${covered}, ${range.start}); the next one is ${origin} with ${formatRange(range)}. Start a worker with --layers ${covered}:${range.start}.`,
      );
    }
    if (range.start < covered) {
      throw new RouteError(
        `Worker ${origin} serves layers ${formatRange(range)}, but layers up to ${covered} are served already. Ranges must not overlap.`,
      );
    }
    covered = range.end;
  }
  const last = route[route.length - 1]!;
  const { dims } = last.manifest;
  if (!isTail(last.manifest.range, dims)) {
    throw new RouteError(
      `No worker serves layers [${covered}, ${dims.layers}); the last one is ${last.origin}. Start a worker with --layers ${covered}:${dims.layers}.`,
    );
  }
  return route;
}

function checkMember(member: RouteMember, reference: RouteMember, rules: RouteRules): void {
  const { origin, manifest } = member;
  const { modelSha256 } = manifest.identity;
  if (rules.modelSha256 !== null && modelSha256 !== rules.modelSha256) {
    throw new RouteError(
      `Worker ${origin} serves another file (${manifest.modelName}, sha256 ${modelSha256.slice(0, 12)}…) than the gateway (sha256 ${rules.modelSha256.slice(0, 12)}…). Start both with the same --model.`,
    );
  }
  const field = identityDifference(reference.manifest.identity, manifest.identity);
  if (field !== null) {
    const [mine, theirs] = [manifest.identity[field], reference.manifest.identity[field]];
    throw new RouteError(
      `Worker ${origin} differs from ${reference.origin} in ${field}: ${mine} against ${theirs}. All workers of a cluster must serve the same file with the same arithmetic.`,
    );
  }
  if (!manifest.invariant && !rules.allowVariant) {
    throw new RouteError(
      `Worker ${origin} failed its start-up proof: on this machine a token's logits depend on how many rows a pass has, so output would not be exact. Use another machine or --quant 8bit.`,
    );
  }
}
