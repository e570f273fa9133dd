/**
 * API keys: made, read and recognised. A key is 32 random bytes, so one SHA-256 of it is kept instead of a slow
 * password hash; the key itself is shown once and never stored. Sources: a list of keys, or a file with one line a key:
 * `sha256:<64 hex> name=ann requests-per-min=60 tokens-per-min=100000 parallel=4`, all but the first word optional.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { ConfigError } from './config.ts';

/** null: no limit. */
export interface KeyLimits {
  readonly requestsPerMin: number | null;
  /** Prompt and output. */
  readonly tokensPerMin: number | null;
  /** Requests being answered at once. */
  readonly parallel: number | null;
}

export interface ApiKey {
  /** From its hash: names the owner of sessions, and may be logged. */
  readonly id: string;
  /** For people; from the key's line in the file. */
  readonly name: string | null;
  /** SHA-256 of the key. */
  readonly hash: Uint8Array;
  readonly limits: KeyLimits;
}

/** More is a typing error; each key costs one comparison a request. */
const keysMax = 1024;
/** A line has about 150 characters. */
const keyFileBytesMax = keysMax * 512;
/** Shorter keys can be guessed, longer ones are no keys. */
const keyCharsMin = 16;
export const keyCharsMax = 256;
const limitMax = 1_000_000_000;

const limitNames: Readonly<Record<string, keyof KeyLimits>> = {
  'requests-per-min': 'requestsPerMin',
  'tokens-per-min': 'tokensPerMin',
  parallel: 'parallel',
};

/**
 * `source`: keys separated by commas, or the path of a file (what contains a slash or backslash). `defaults`: limits of
 * keys that have no own. Throws ConfigError.
 */
export async function loadApiKeys(source: string, defaults: KeyLimits): Promise<readonly ApiKey[]> {
  const keys = /[\\/]/.test(source)
    ? readKeyLines(await readKeyFile(source), defaults)
    : readKeyList(source, defaults);
  if (keys.length === 0)
    throw new ConfigError(['FORETOKEN_API_KEYS holds no key. Make one with: foretoken keys']);
  if (keys.length > keysMax) throw new ConfigError([`FORETOKEN_API_KEYS holds more than ${keysMax} keys.`]);
  const ids = new Set(keys.map(({ id }) => id));
  if (ids.size < keys.length) throw new ConfigError(['FORETOKEN_API_KEYS holds a key twice.']);
  return keys;
}

/** A new key, and its line for the file. */
export function makeApiKey(name: string | null): { readonly key: string; readonly line: string } {
  const key = `ftk-${randomBytes(32).toString('base64url')}`;
  const line = `sha256:${Buffer.from(hashOf(key)).toString('hex')}`;
  return { key, line: name === null ? line : `${line} name=${name}` };
}

/** The key that was presented, or null. Compares with all keys, each in constant time. */
export function findApiKey(keys: readonly ApiKey[], presented: string): ApiKey | null {
  const hash = hashOf(presented);
  let found: ApiKey | null = null;
  for (const key of keys) if (timingSafeEqual(key.hash, hash)) found = key;
  return found;
}

/** Of names in the key file. */
export const keyNamePattern = /^[\w.@-]{1,64}$/;

function hashOf(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}

function keyOf(hash: Uint8Array, name: string | null, limits: KeyLimits): ApiKey {
  return { id: `key-${Buffer.from(hash).toString('hex').slice(0, 16)}`, name, hash, limits };
}

function readKeyList(list: string, limits: KeyLimits): ApiKey[] {
  const keys = list
    .split(',')
    .map((key) => key.trim())
    .filter((key) => key !== '');
  const isSane = (key: string): boolean =>
    /^[\x21-\x7e]+$/.test(key) && key.length >= keyCharsMin && key.length <= keyCharsMax;
  // The text itself stays out of messages: it is a secret that was mistyped.
  if (!keys.every(isSane)) {
    throw new ConfigError([
      `FORETOKEN_API_KEYS: a key has ${keyCharsMin} to ${keyCharsMax} printable characters. For a file, give a path with a slash.`,
    ]);
  }
  return keys.map((key) => keyOf(hashOf(key), null, limits));
}

async function readKeyFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > keyFileBytesMax) throw new Error(`it is larger than ${keyFileBytesMax} bytes`);
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ConfigError([`FORETOKEN_API_KEYS: ${path} cannot be read: ${(cause as Error).message}`]);
  }
}

function readKeyLines(text: string, defaults: KeyLimits): ApiKey[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    const words = line.replace(/#.*/, '').trim().split(/\s+/);
    return words[0] === '' ? [] : [readKeyLine(words, index + 1, defaults)];
  });
}

function readKeyLine([first, ...rest]: readonly string[], lineNumber: number, defaults: KeyLimits): ApiKey {
  const problem = (text: string): ConfigError =>
    new ConfigError([`API key file, line ${lineNumber}: ${text}`]);
  const hash = /^sha256:([0-9a-f]{64})$/i.exec(first!)?.[1];
  if (hash === undefined)
    throw problem('it must begin with sha256: and 64 hex digits, as `foretoken keys` prints them.');
  const limits: Record<keyof KeyLimits, number | null> = { ...defaults };
  let name: string | null = null;
  for (const word of rest) {
    const [option = '', value = ''] = word.split('=', 2);
    const limit = limitNames[option];
    if (option === 'name' && keyNamePattern.test(value)) name = value;
    else if (
      limit !== undefined &&
      /^\d{1,10}$/.test(value) &&
      Number(value) >= 1 &&
      Number(value) <= limitMax
    ) {
      limits[limit] = Number(value);
    } else throw problem(`'${word.slice(0, 80)}' is not name=…, ${Object.keys(limitNames).join('=…, ')}=….`);
  }
  return keyOf(Buffer.from(hash, 'hex'), name, limits);
}
