import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasSpareCore } from '../../src/spare-core.ts';

test('workers of this machine keep a core each, others none', () => {
  const here = ['http://127.0.0.1:9000', 'http://localhost:9001'];
  assert.equal(hasSpareCore(here, 2), false);
  assert.equal(hasSpareCore(here, 3), true);
  assert.equal(hasSpareCore([...here, 'https://10.0.0.5:9000', 'http://[fd00::1]:9000'], 3), true);
});
