/**
 * May one model draft for another? Ids travel, not text, so every id must mean the same string to both. Equal sizes
 * prove nothing: two fine-tunes of one family may differ in a handful of added tokens.
 */

/** Names of ids that no text contains: files round their vocabulary up with these. */
const padding = /^[<[]\W*(pad|unused|reserved|dummy|extra)/i;

/**
 * Token strings by id, of the target and of the draft. Throws an Error that names the first id whose strings differ;
 * a longer list may go on with padding alone.
 */
export function sameVocabulary(target: readonly string[], draft: readonly string[]): void {
  for (let id = 0; id < Math.max(target.length, draft.length); id++) {
    const ours = target[id];
    const theirs = draft[id];
    if (ours === theirs || (isPadding(ours) && isPadding(theirs))) continue;
    throw new Error(
      `the draft model speaks another vocabulary: id ${id} is ${name(ours)} to the target and ${name(theirs)} to ` +
        'the draft; choose a draft model of the same family',
    );
  }
}

function isPadding(token: string | undefined): boolean {
  return token === undefined || padding.test(token);
}

function name(token: string | undefined): string {
  return token === undefined ? 'nothing' : JSON.stringify(token);
}
