/** The default model through its real sources, into an empty store. Skipped, with a line, where none can be reached. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { catalogEntry, defaultModelName } from '../../src/models/catalog.ts';
import { resolveModel } from '../../src/models/pull.ts';
import { PullError } from '../../src/models/pull-error.ts';
import { openModelHome } from '../support/model-home.ts';

it('resolveModel pulls the default model by the catalog', { timeout: 600_000 }, async (test) => {
  const home = await openModelHome();
  try {
    const model = await resolveModel(defaultModelName, { store: home.store });
    assert.equal(model.sha256, catalogEntry(defaultModelName).sha256);
    assert.deepEqual(home.files(), [`${model.sha256}.gguf`, `${defaultModelName}.json`].sort());
  } catch (error) {
    if (!(error instanceof PullError) || error.code !== 'no_source') throw error;
    if (error.failures.some((failure) => failure.code === 'wrong_sum')) throw error;
    console.error(`skipped: ${error.message}`);
    test.skip('no source can be reached');
  } finally {
    home.remove();
  }
});
