/** Plots of a simulated report: throughput over users with and without cores enough, and orders over rates. */
import { loadSeries } from './load-plots.ts';
import { lineChart, type Series } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';
import type { SimulateReport } from './simulate.ts';
import { type ComparedOrder, compareOrders } from './simulate-orders.ts';
import { traceNames } from './simulated-trace.ts';
import type { SimulatedLine } from './simulation-case.ts';
import type { Spread } from './statistics.ts';

export function simulatePlots({
  costs,
  users,
  usersOnSharedCores,
  sharedCores,
  orders,
}: SimulateReport): Plot[] {
  const [workers, t1Ms] = [costs.stages.length, costs.nominalT1Ms];
  const where = `simulated, ${workers} workers, t1 ${t1Ms} ms`;
  const plots: Plot[] = [];
  const draw = (name: string, title: string, x: string, y: string, series: readonly Series[]): void => {
    const svg = lineChart({ title, x: { label: x }, y: { label: y }, series });
    plots.push({ name: plotName('simulated', name, workers, t1Ms), title, svg });
  };
  draw(
    'throughput',
    `Throughput over users, own machines or ${sharedCores} cores, ${where}`,
    'users at once',
    'tokens/s',
    [
      ...loadSeries(users.filter(isDrawn), 'own', ({ tokensPerSecond }) => tokensPerSecond),
      ...loadSeries(
        usersOnSharedCores.filter(isDrawn),
        `${sharedCores} cores`,
        (line) => line.tokensPerSecond,
      ),
    ],
  );
  const compared = compareOrders(orders);
  for (const trace of traceNames) {
    const ofTrace = compared.filter((line) => line.trace === trace && line.order !== 'fcfs');
    draw(
      `orders-${trace}`,
      `Latency over that of fcfs, ${trace} trace (*: lengths known), ${where}`,
      'rate of arrivals, share of saturation',
      'times fcfs',
      [...overRates(ofTrace, 'mean', ({ mean }) => mean), ...overRates(ofTrace, 'p99', ({ p99 }) => p99)],
    );
  }
  return plots;
}

/** Plain decoding in single passes lies close to plain decoding; the table has it. */
function isDrawn({ setup }: SimulatedLine): boolean {
  return setup !== 'plain, single passes';
}

function overRates(
  lines: readonly ComparedOrder[],
  what: string,
  of: (line: ComparedOrder) => Spread,
): Series[] {
  return [...Map.groupBy(lines, ({ order }) => order)].map(([order, ofOrder]) => ({
    name: `${order.replace(', lengths known', '*')}, ${what}`,
    points: ofOrder.map((line) => [line.rateShare, of(line).median] as const),
  }));
}
