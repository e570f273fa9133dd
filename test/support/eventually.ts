/** Waits for what is bound to happen soon, such as a CLOSE that is still under way; fails with what did not. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 5000,
): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await holds())) {
    assert.ok(performance.now() < until, `did not happen within ${withinMs} ms: ${what}`);
    await sleep(10);
  }
}
