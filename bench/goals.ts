/** What is published or promised, as bounds that a report is judged by. A missed goal is a result, not an error. */
import { cell, type Table } from './table.ts';

export interface Goal {
  readonly name: string;
  readonly wanted: string;
  /** NaN where this run had nothing to measure it by. */
  readonly measured: number;
  readonly met: boolean;
}

export function atLeast(name: string, measured: number, bound: number): Goal {
  return { name, wanted: `>= ${bound}`, measured, met: measured >= bound };
}

export function atMost(name: string, measured: number, bound: number): Goal {
  return { name, wanted: `<= ${bound}`, measured, met: measured <= bound };
}

export function goalTable(goals: readonly Goal[]): Table {
  return {
    textColumns: 1,
    header: ['goal', 'wanted', 'measured', ''],
    rows: goals.map(({ name, wanted, measured, met }) => [
      name,
      wanted,
      cell(measured, 2),
      Number.isNaN(measured) ? 'not measured' : met ? 'met' : 'MISSED',
    ]),
  };
}
