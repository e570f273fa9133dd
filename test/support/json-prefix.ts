/** Can this text become JSON by going on? A pushdown reader of its own, so that tests do not ask the product. */

const number = /^-?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d*)?/;
const wholeNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/;

/** Position behind the value that begins at `at`; null where the text ends inside of it. Throws where it is wrong. */
function readValue(text: string, at: number): number | null {
  if (at >= text.length) return null;
  const character = text[at]!;
  if (character === '"') return readString(text, at);
  if (character === '{') return readMembers(text, at, '}');
  if (character === '[') return readMembers(text, at, ']');
  for (const word of ['true', 'false', 'null']) {
    if (text.startsWith(word, at)) return at + word.length;
    if (word.startsWith(text.slice(at))) return null;
  }
  const rest = text.slice(at);
  const loose = number.exec(rest)![0];
  if (loose === '') throw new Error(`no value at ${at}`);
  if (loose.length === rest.length) return null;
  const whole = wholeNumber.exec(rest)?.[0];
  if (whole === undefined) throw new Error(`no number at ${at}`);
  return at + whole.length;
}

function readString(text: string, at: number): number | null {
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20) throw new Error(`a control character at ${i}`);
    if (text[i] === '"') return i + 1;
    if (text[i] !== '\\') continue;
    const behind = text.slice(i + 1, i + 6);
    if (behind === '') return null;
    if (behind[0] === 'u') {
      if (!/^u[0-9a-fA-F]{0,4}$/.test(behind)) throw new Error(`no escape at ${i}`);
      if (behind.length < 5) return null;
      i += 5;
    } else if (/^["\\/bfnrt]/.test(behind)) i += 1;
    else throw new Error(`no escape at ${i}`);
  }
  return null;
}

function readMembers(text: string, at: number, closing: string): number | null {
  let next = skipSpace(text, at + 1);
  if (text[next] === closing) return next + 1;
  for (;;) {
    if (closing === '}') {
      if (next >= text.length) return null;
      if (text[next] !== '"') throw new Error(`no name at ${next}`);
      const named = readString(text, next);
      if (named === null) return null;
      next = skipSpace(text, named);
      if (next >= text.length) return null;
      if (text[next] !== ':') throw new Error(`no colon at ${next}`);
      next = skipSpace(text, next + 1);
    }
    const behind = readValue(text, next);
    if (behind === null) return null;
    next = skipSpace(text, behind);
    if (next >= text.length) return null;
    if (text[next] === closing) return next + 1;
    if (text[next] !== ',') throw new Error(`no comma at ${next}`);
    next = skipSpace(text, next + 1);
  }
}

function skipSpace(text: string, at: number): number {
  let next = at;
  while (next < text.length && ' \n\t\r'.includes(text[next]!)) next++;
  return next;
}

export function isJsonPrefix(text: string): boolean {
  try {
    const end = readValue(text, 0);
    return end === null || end === text.length;
  } catch {
    return false;
  }
}
