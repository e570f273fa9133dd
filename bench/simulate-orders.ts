/** Orders beside first come, first served on the same requests: ratios by seed, and their medians. Pure. */
import type { OrderLine } from './simulate.ts';
import type { TraceName } from './simulated-trace.ts';
import { type Spread, spreadOf } from './statistics.ts';

export interface ComparedOrder {
  readonly trace: TraceName;
  readonly rateShare: number;
  readonly order: string;
  readonly lines: readonly OrderLine[];
  /** Over fcfs, of the same requests. */
  readonly mean: Spread;
  readonly p50: Spread;
  readonly p95: Spread;
  readonly p99: Spread;
  readonly meanFirstToken: Spread;
  readonly p95FirstToken: Spread;
}

/** In the order of the lines. */
export function compareOrders(lines: readonly OrderLine[]): ComparedOrder[] {
  const groups = Map.groupBy(lines, ({ trace, rateShare, setup }) => `${trace} ${rateShare} ${setup}`);
  return [...groups.values()].map((group) => {
    const { trace, rateShare, setup: order } = group[0]!;
    const ratio = (of: (line: OrderLine) => number): Spread =>
      spreadOf(group.map((line) => of(line) / of(firstComeOf(lines, line))));
    return {
      ...{ trace, rateShare, order, lines: group },
      mean: ratio(({ meanLatencyMs }) => meanLatencyMs),
      p50: ratio(({ latencyMs }) => latencyMs.p50),
      p95: ratio(({ latencyMs }) => latencyMs.p95),
      p99: ratio(({ latencyMs }) => latencyMs.p99),
      meanFirstToken: ratio(({ meanFirstTokenMs }) => meanFirstTokenMs),
      p95FirstToken: ratio(({ firstTokenMs }) => firstTokenMs.p95),
    };
  });
}

function firstComeOf(lines: readonly OrderLine[], { trace, rateShare, seed }: OrderLine): OrderLine {
  return lines.find(
    (line) =>
      line.setup === 'fcfs' && line.trace === trace && line.rateShare === rateShare && line.seed === seed,
  )!;
}
