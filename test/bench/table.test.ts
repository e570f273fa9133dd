/** Alignment of tables and the dash for what is not a number. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cell, markdownTable, plainTable } from '../../bench/table.ts';

const table = {
  textColumns: 1,
  header: ['set', 'tok/s'],
  rows: [
    ['humaneval', '9.5'],
    ['own', '12.0'],
  ],
};

test('plainTable aligns names left and numbers right', () => {
  assert.deepEqual(plainTable(table).split('\n'), [
    'set        tok/s',
    '---------  -----',
    'humaneval    9.5',
    'own         12.0',
  ]);
});

test('markdownTable escapes what would end a cell', () => {
  assert.equal(
    markdownTable({ textColumns: 1, header: ['a|b', 'n'], rows: [] }),
    '| a\\|b | n |\n| --- | ---: |',
  );
});

test('cell writes a dash for what is not a number', () => {
  assert.equal(cell(Number.NaN, 1), '-');
  assert.equal(cell(2 / 3, 2), '0.67');
});
