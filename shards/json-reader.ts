/**
 * Readers of JSON from a peer: each takes any value and gives back a checked one or throws ShardError bad_frame that
 * names the field. Objects are strict (an unknown key is an error, so nothing is ignored silently), and every list
 * and string has a bound at the place where it is declared.
 */
import { badFrame } from './frame.ts';

export type Reader<T> = (value: unknown, path: string) => T;

export function integer(min: number, max: number): Reader<number> {
  return (value, path) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw badFrame(`${path} must be an integer in ${min}..${max}`);
  };
}

export function finite(min: number, max: number): Reader<number> {
  return (value, path) => {
    if (typeof value === 'number' && value >= min && value <= max) return value;
    throw badFrame(`${path} must be a number in ${min}..${max}`);
  };
}

export function text(lengthMax: number, pattern?: RegExp): Reader<string> {
  return (value, path) => {
    if (typeof value !== 'string' || value.length > lengthMax) {
      throw badFrame(`${path} must be a string of at most ${lengthMax} characters`);
    }
    if (pattern !== undefined && !pattern.test(value)) throw badFrame(`${path} must match ${pattern.source}`);
    return value;
  };
}

export const flag: Reader<boolean> = (value, path) => {
  if (typeof value === 'boolean') return value;
  throw badFrame(`${path} must be true or false`);
};

export function oneOf<const T extends string | boolean>(choices: readonly T[]): Reader<T> {
  return (value, path) => {
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw badFrame(`${path} must be one of ${choices.join(', ')}`);
  };
}

export function nullable<T>(reader: Reader<T>): Reader<T | null> {
  return (value, path) => (value === null ? null : reader(value, path));
}

/** A field that may be missing; `object` leaves it out then. */
export function optional<T>(reader: Reader<T>): Reader<T | undefined> {
  return (value, path) => (value === undefined ? undefined : reader(value, path));
}

export function list<T>(reader: Reader<T>, lengthMax: number): Reader<T[]> {
  return (value, path) => {
    if (!Array.isArray(value) || value.length > lengthMax) {
      throw badFrame(`${path} must be a list of at most ${lengthMax}`);
    }
    return value.map((item, index) => reader(item, `${path}[${index}]`));
  };
}

/** Key → number or short string, at most `keysMax` of them. */
export function record(keysMax: number, valueLengthMax: number): Reader<Record<string, number | string>> {
  return (value, path) => {
    const entries = Object.entries(plainObject(value, path));
    if (entries.length > keysMax) throw badFrame(`${path} must have at most ${keysMax} keys`);
    for (const [key, item] of entries) {
      if (!/^[A-Za-z]\w{0,63}$/.test(key)) throw badFrame(`${path} has a key that is no name`);
      const fits = typeof item === 'number' || (typeof item === 'string' && item.length <= valueLengthMax);
      if (!fits) throw badFrame(`${path}.${key} must be a number or a short string`);
    }
    return Object.fromEntries(entries) as Record<string, number | string>;
  };
}

/** An object with exactly the keys of `fields`; those read by `optional` may be missing. */
export function object<T extends object>(
  fields: {
    readonly [K in keyof T]-?: Reader<undefined extends T[K] ? T[K] | undefined : T[K]>;
  },
): Reader<T> {
  const names = Object.keys(fields) as (keyof T & string)[];
  return (value, path) => {
    const source = plainObject(value, path);
    for (const key of Object.keys(source)) {
      if (!Object.hasOwn(fields, key)) throw badFrame(`${path}.${key.slice(0, 64)} is unknown`);
    }
    const read: Partial<T> = {};
    for (const name of names) {
      const item = fields[name](source[name], `${path}.${name}`);
      if (item !== undefined) read[name] = item as T[typeof name];
    }
    return read as T;
  };
}

function plainObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw badFrame(`${path} must be an object`);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Bytes → JSON → checked value. Throws bad_frame only. */
export function readJson<T>(bytes: Uint8Array, reader: Reader<T>, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (error) {
    throw badFrame(
      `${what} is no JSON (${error instanceof Error ? error.message.slice(0, 100) : 'unreadable'})`,
    );
  }
  return reader(value, what);
}
