/** Simulations on all cores of this machine: a case each for as many threads, in order of the list, none given twice. */
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { runCase, type SimulatedLine, type SimulationCase } from './simulation-case.ts';

/** The line of each case, in their order. Rejects with the first error of a simulation. */
export async function runCases(
  cases: readonly SimulationCase[],
  onLine: (line: SimulatedLine) => void = () => {},
): Promise<SimulatedLine[]> {
  const lines: SimulatedLine[] = [];
  let next = 0;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const thread = new Worker(new URL(import.meta.url));
      let at = -1;
      const give = (): void => {
        at = next++;
        if (at < cases.length) thread.postMessage(cases[at]);
        else void thread.terminate().then(() => resolve());
      };
      thread.on('message', (line: SimulatedLine) => {
        lines[at] = line;
        onLine(line);
        give();
      });
      thread.on('error', reject);
      give();
    });
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), cases.length) }, work));
  return lines;
}

if (!isMainThread)
  parentPort!.on('message', (asked: SimulationCase) => {
    void runCase(asked).then((line) => parentPort!.postMessage(line));
  });
