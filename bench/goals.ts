/** What is published or promised, as bounds that a report is judged by. A missed goal is a result, not an error. */
import { cell, type Table } from './table.ts';

export interface Goal {
  readonly name: string;
  readonly wanted: string;
  readonly bound: number;
  /** NaN where this run had nothing to measure it by. */
  readonly measured: number;
  readonly met: boolean;
  /** The row of a wan report that a speed-up over the plain chain was read from. */
  readonly row?: { readonly set: string; readonly mode: string };
}

export function atLeast(name: string, measured: number, bound: number): Goal {
  return { name, wanted: `>= ${bound}`, bound, measured, met: measured >= bound };
}

export function atMost(name: string, measured: number, bound: number): Goal {
  return { name, wanted: `<= ${bound}`, bound, measured, met: measured <= bound };
}

/** JSON has no NaN: what was not measured may come back as null. */
export function verdictOn(measured: number, met: boolean): string {
  if (!Number.isFinite(measured)) return 'not measured';
  return met ? 'met' : 'MISSED';
}

export function goalTable(goals: readonly Goal[]): Table {
  return {
    textColumns: 1,
    header: ['goal', 'wanted', 'measured', ''],
    rows: goals.map(({ name, wanted, measured, met }) => [
      name,
      wanted,
      cell(measured, 2),
      verdictOn(measured, met),
    ]),
  };
}
