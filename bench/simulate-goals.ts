/** What many users on one ring are promised (load-goals.ts), judged where each stage has a machine of its own. */
import { atLeast, atMost, type Goal } from './goals.ts';
import { usersGoals } from './load-goals.ts';
import type { SimulateReport } from './simulate.ts';
import { compareOrders } from './simulate-orders.ts';
import { goalT1Ms, goalWorkers } from './wan-goals.ts';

/** Where the ring is just full. */
const judgedShare = 1;

export function simulateGoals(report: Omit<SimulateReport, 'goals'>): Goal[] {
  const { costs, users, orders } = report;
  if (costs.stages.length !== goalWorkers || costs.nominalT1Ms !== goalT1Ms) return [];
  const laps = compareOrders(orders).filter(
    ({ order, rateShare }) => order === 'laps' && rateShare === judgedShare,
  );
  const rate = (setup: string, load: string): number =>
    users.find((line) => line.setup === setup && line.load === load)?.tokensPerSecond ?? Number.NaN;
  const fewer = atLeast(
    '16 users, shared passes over single ones, tokens/s',
    rate('speculative', '16 users') / rate('single passes', '16 users'),
    1.3,
  );
  const byUsers = usersGoals(users);
  const goals = [
    ...byUsers,
    ...(byUsers.some(({ name }) => name === fewer.name) ? [] : [fewer]),
    ...laps.flatMap(({ trace, mean, p99 }) => [
      atMost(`mean latency, laps over fcfs, ${trace} trace`, mean.median, 0.7),
      atMost(`p99 latency, laps over fcfs, ${trace} trace`, p99.median, 1.1),
    ]),
  ];
  return goals.map((goal) => ({ ...goal, name: `simulated: ${goal.name}` }));
}
