/**
 * Finds tokens that are matched whole (control tokens, user-defined tokens) in text: the leftmost, of those the longest.
 * Linear in the text for tokens of bounded length.
 */

interface Node {
  id: number | null;
  readonly next: Map<number, Node>;
}

export class TokenTrie {
  readonly #root: Node = { id: null, next: new Map() };

  /** `tokens`: [text, id]; empty texts are left out, of equal ones the last counts. */
  constructor(tokens: Iterable<readonly [string, number]>) {
    for (const [text, id] of tokens) {
      if (text !== '') this.#insert(text, id);
    }
  }

  /** Text without tokens, and ids, in order; no empty strings. */
  split(text: string): (string | number)[] {
    const parts: (string | number)[] = [];
    let start = 0;
    for (let at = 0; at < text.length; ) {
      const match = this.#longestAt(text, at);
      if (match === null) {
        at += 1;
        continue;
      }
      if (at > start) parts.push(text.slice(start, at));
      parts.push(match.id);
      at = match.end;
      start = at;
    }
    if (start < text.length) parts.push(text.slice(start));
    return parts;
  }

  #insert(text: string, id: number): void {
    let node = this.#root;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      let child = node.next.get(unit);
      if (child === undefined) {
        child = { id: null, next: new Map() };
        node.next.set(unit, child);
      }
      node = child;
    }
    node.id = id;
  }

  #longestAt(text: string, start: number): { id: number; end: number } | null {
    let match: { id: number; end: number } | null = null;
    let node = this.#root.next.get(text.charCodeAt(start));
    for (let at = start + 1; node !== undefined; at++) {
      if (node.id !== null) match = { id: node.id, end: at };
      node = at < text.length ? node.next.get(text.charCodeAt(at)) : undefined;
    }
    return match;
  }
}
