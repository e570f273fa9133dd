/** A schema that cannot be served: where (a JSON pointer into it, '' for the root) and why. */
export class SchemaError extends Error {
  readonly pointer: string;

  constructor(pointer: string, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.name = 'SchemaError';
    this.pointer = pointer;
  }
}

/** One step further down a JSON pointer (RFC 6901). */
export function pointerTo(pointer: string, ...steps: readonly (string | number)[]): string {
  return steps.reduce<string>(
    (path, step) => `${path}/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`,
    pointer,
  );
}
