/**
 * Does the gateway have a core for itself? What it writes ahead while a round is under way costs nothing then; on a
 * core that a worker needs it makes the round longer.
 */
import { availableParallelism } from 'node:os';
import { isLoopbackHost } from './loopback.ts';

/** `origins` of the workers; a worker of this machine keeps one core busy. */
export function hasSpareCore(origins: readonly string[], cores = availableParallelism()): boolean {
  const workersHere = origins.filter((origin) => isLoopbackHost(new URL(origin).hostname)).length;
  return cores > workersHere;
}
