/**
 * Finds stop strings in text that arrives in pieces, and lets text out as soon as it cannot begin one: an Aho-Corasick
 * automaton over UTF-16 units. Linear in the text, and what is held back is shorter than the longest stop string.
 * The first match is the one that ends first, of those the longest; so the result does not depend on the pieces.
 */

export interface StopMatcher {
  /** Text that is now certain; `stopped` once a stop string is complete: `text` then ends just before it. */
  push(delta: string): { readonly text: string; readonly stopped: boolean };
  /** At the end of the answer: what was held back. */
  flush(): string;
}

interface Node {
  readonly next: Map<number, Node>;
  /** Units from the root: how much of the text behind us may begin a stop string. */
  readonly depth: number;
  /** The longest proper suffix that is also in the tree. */
  suffix: Node;
  /** Length of the longest stop string that ends here, 0 for none. */
  matchLength: number;
}

/** Empty stop strings never match. */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  const root = buildAutomaton(stops);
  let state = root;
  let held = '';
  let stopped = false;

  return {
    push(delta) {
      if (stopped) return { text: '', stopped };
      const text = held + delta;
      for (let i = held.length; i < text.length; i++) {
        state = step(root, state, text.charCodeAt(i));
        if (state.matchLength > 0) {
          stopped = true;
          held = '';
          return { text: text.slice(0, i + 1 - state.matchLength), stopped };
        }
      }
      const certain = text.length - state.depth;
      held = text.slice(certain);
      return { text: text.slice(0, certain), stopped };
    },
    flush() {
      const text = held;
      held = '';
      state = root;
      return text;
    },
  };
}

/** The node of the longest suffix of what was read that begins a stop string. */
function step(root: Node, from: Node, unit: number): Node {
  for (let node = from; ; node = node.suffix) {
    const child = node.next.get(unit);
    if (child !== undefined) return child;
    if (node === root) return root;
  }
}

function buildAutomaton(stops: readonly string[]): Node {
  const root = newNode(null);
  for (const stop of stops) insert(root, stop.toWellFormed());
  // Breadth first: suffixes are shallower, so they are complete when they are looked at.
  const queue = [root];
  for (const parent of queue) {
    for (const [unit, node] of parent.next) {
      node.suffix = parent === root ? root : step(root, parent.suffix, unit);
      node.matchLength ||= node.suffix.matchLength;
      queue.push(node);
    }
  }
  return root;
}

function insert(root: Node, stop: string): void {
  if (stop === '') return;
  let node = root;
  for (let i = 0; i < stop.length; i++) {
    const unit = stop.charCodeAt(i);
    const child = node.next.get(unit) ?? newNode(node);
    node.next.set(unit, child);
    node = child;
  }
  node.matchLength = stop.length;
}

/** `parent`: null for the root, which is its own suffix. */
function newNode(parent: Node | null): Node {
  const node = {
    next: new Map<number, Node>(),
    depth: parent === null ? 0 : parent.depth + 1,
    matchLength: 0,
  };
  return Object.assign(node, { suffix: node as Node });
}
