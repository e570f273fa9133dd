import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerSink } from '../../src/answer-sink.ts';
import { backlogTokensMax } from '../../src/engine/session.ts';
import { createTokenizer } from '../../src/text/tokenizer.ts';
import { tinyTextMetadata } from '../support/text-metadata.ts';

test('AnswerSink says once when its reader has caught up, so that nothing waits for ever', async () => {
  let caughtUp = 0;
  const tokenizer = createTokenizer(tinyTextMetadata());
  const sink = new AnswerSink({
    ...{ tokenizer, stop: [], ignoreEos: false, scores: null },
    onRead: () => caughtUp++,
    onLeave: () => {},
    finish: () => assert.fail('nobody ends this'),
  });
  const round = Uint32Array.from(tokenizer.encodeText('the cat '));
  const rounds = Math.ceil(backlogTokensMax / round.length) + 2;
  for (let i = 0; i < rounds; i++) sink.commit(round);
  assert.ok(sink.backlogTokens() > backlogTokensMax);
  const reader = sink[Symbol.asyncIterator]();
  await reader.next();
  assert.equal(caughtUp, 0);
  for (let i = 1; i < rounds; i++) await reader.next();
  assert.equal(sink.backlogTokens(), 0);
  assert.equal(caughtUp, 1);
});
