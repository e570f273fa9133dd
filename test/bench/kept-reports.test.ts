/** Files that runs are added to: replaced by conditions, kept otherwise, refused where they are something else. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readClaim, withKept } from '../../bench/kept-reports.ts';

interface Report {
  readonly t1Ms: number;
  readonly speed: number;
}

const conditionsOf = ({ t1Ms }: Report): string => String(t1Ms);

function fileWith(t: TestContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'foretoken-kept-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'wan.json');
  writeFileSync(path, text);
  return path;
}

test('withKept keeps reports of other conditions and replaces those of the same', async (t) => {
  const reports = [
    { t1Ms: 5, speed: 1 },
    { t1Ms: 15, speed: 2 },
  ];
  const path = fileWith(t, JSON.stringify({ claim: 'wan', reports }));
  const kept = await withKept(path, { claim: 'wan', reports: [{ t1Ms: 15, speed: 3 }] }, conditionsOf);
  assert.deepEqual(kept, [reports[0], { t1Ms: 15, speed: 3 }]);
});

test('withKept begins where no file is, or none is asked for', async () => {
  const reports = [{ t1Ms: 5, speed: 1 }];
  for (const path of [null, '/nowhere/wan.json'])
    assert.deepEqual(await withKept(path, { claim: 'wan', reports }, conditionsOf), reports);
});

test('withKept and readClaim refuse what is not theirs', async (t) => {
  const other = fileWith(t, JSON.stringify({ claim: 'peer', reports: [] }));
  await assert.rejects(withKept(other, { claim: 'wan', reports: [] }, conditionsOf), /'peer', not of 'wan'/);
  assert.throws(() => readClaim('{"claim":', 'a.json'), /a\.json is not JSON/);
  assert.throws(() => readClaim('[]', 'a.json'), /holds no reports/);
});
