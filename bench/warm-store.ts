/**
 * Warm stores: owners who have asked for other prompts of a set before, so that the text drafter knows those answers
 * (src/drafting/earlier-outputs.ts). Nothing of a measured prompt is among them, and an owner is used for one mode and
 * repeat only. The store forgets owners beyond 32 by their last use: a set has fewer modes.
 */
import { randomUUID } from 'node:crypto';
import type { Serving } from '../src/serving.ts';
import { generate } from './bench-gateway.ts';
import type { BenchTask } from './mode-runs.ts';

/** Sessions that fill a store run side by side, so many of them; measured ones run alone. */
export const fillingSessionsMax = 8;

/** Fills a store when it is first asked for, outside of measured time; null for a set without other prompts. */
export function createWarmStores(
  gateway: Serving,
  others: ReadonlyMap<string, readonly BenchTask[]>,
  maxTokens: number,
): (set: string, use: string) => Promise<string | null> {
  const owners = new Map<string, string>();
  return async (set, use) => {
    const tasks = others.get(set) ?? [];
    if (tasks.length === 0) return null;
    const key = JSON.stringify([set, use]);
    const known = owners.get(key);
    if (known !== undefined) return known;
    const owner = randomUUID();
    await fill(gateway, tasks, owner, maxTokens);
    owners.set(key, owner);
    return owner;
  };
}

async function fill(
  gateway: Serving,
  tasks: readonly BenchTask[],
  owner: string,
  maxTokens: number,
): Promise<void> {
  const left = [...tasks];
  const answerInTurn = async (): Promise<void> => {
    for (let task = left.shift(); task !== undefined; task = left.shift()) {
      await generate(gateway, {
        ...{ promptIds: task.promptIds, maxTokens, prediction: null, owner },
        speculation: { drafter: 'auto', draftLength: 'auto' },
      });
    }
  };
  await Promise.all(Array.from({ length: fillingSessionsMax }, answerInTurn));
}
