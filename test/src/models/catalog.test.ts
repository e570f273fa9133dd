/** The catalog as data: everything in it can be parsed, pulled and explained. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { catalog, catalogEntry, defaultModelName } from '../../../src/models/catalog.ts';
import { PullError } from '../../../src/models/pull-error.ts';
import { parseSource } from '../../../src/models/source.ts';
import { isSha256 } from '../../../src/models/store.ts';

describe('catalog', () => {
  it('holds only entries whose fields make sense', () => {
    for (const [name, entry] of catalog) {
      assert.equal(entry.name, name);
      assert.match(name, /^[a-z0-9][a-z0-9._-]{0,99}$/);
      assert.ok(entry.sha256 === null || isSha256(entry.sha256), name);
      assert.ok(Number.isSafeInteger(entry.bytes) && entry.bytes > 1e6, name);
      assert.ok(entry.sources.length > 0 && entry.licence.length > 0 && entry.title.length > 0, name);
      assert.ok(entry.draft === null || (catalog.has(entry.draft) && entry.draft !== name), name);
    }
  });

  it('names sources that parse, and wheels only with a pinned sum', () => {
    for (const entry of catalog.values()) {
      for (const source of entry.sources) {
        const parsed = parseSource(source);
        assert.notEqual(parsed.kind, 'file', source);
        if (parsed.kind === 'pip') assert.notEqual(entry.sha256, null, source);
      }
    }
  });

  it('pins the default model and tries the hub first', () => {
    const entry = catalogEntry(defaultModelName);
    assert.notEqual(entry.sha256, null);
    assert.deepEqual(
      entry.sources.map((source) => parseSource(source).kind),
      ['hub', 'pip'],
    );
  });
});

describe('catalogEntry', () => {
  it('names the nearest entry and all names for an unknown one', () => {
    assert.throws(
      () => catalogEntry('SmolLM2-135M-instrct'),
      (error) => {
        assert.ok(error instanceof PullError && error.code === 'unknown_model');
        assert.match(error.message, /Did you mean smollm2-135m-instruct\?/);
        for (const name of catalog.keys()) assert.ok(error.message.includes(name));
        return true;
      },
    );
  });

  it('suggests nothing for a name that is near to none', () => {
    assert.throws(
      () => catalogEntry('x'.repeat(100_000)),
      (error) =>
        error instanceof PullError && !error.message.includes('Did you mean') && error.message.length < 500,
    );
  });
});
