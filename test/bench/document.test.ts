/** Sections of the generated document. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withSection } from '../../bench/document.ts';

test('withSection appends a section, then replaces it and nothing else', () => {
  const first = withSection('# Benchmarks\n', 'wan-4-15', 'one');
  const second = withSection(first, 'wan-4-5', 'two');
  const third = withSection(second, 'wan-4-15', 'three, with $& and $1');
  assert.equal(
    third,
    '# Benchmarks\n\n<!-- begin wan-4-15 -->\nthree, with $& and $1\n<!-- end wan-4-15 -->\n\n' +
      '<!-- begin wan-4-5 -->\ntwo\n<!-- end wan-4-5 -->\n',
  );
  assert.equal(withSection(third, 'wan-4-5', 'two'), third);
});

test('withSection puts a new section before those that come later in the document', () => {
  let text = '# Title\n';
  for (const key of ['peer-4', 'wan-4-t1-15-ms', 'others', 'goals']) text = withSection(text, key, key);
  const keys = [...text.matchAll(/begin (\S+)/g)].map(([, key]) => key);
  assert.deepEqual(keys, ['goals', 'wan-4-t1-15-ms', 'peer-4', 'others']);
});
