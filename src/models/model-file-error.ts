/**
 * The one error class for model files: what is wrong with the file, told in its own words (file, field, value).
 * Codes are a closed set, so that callers can map them without reading messages.
 */

export type ModelFileErrorCode =
  /** The file is something else, or a GGUF form that is not read at all (version 1, big-endian). */
  | 'not_gguf'
  /** The file ends before what it announces. */
  | 'truncated'
  /** The file contradicts itself. */
  | 'corrupt'
  /** A count or size is beyond a named limit. */
  | 'limit'
  /** A sound file that asks for something this engine does not compute. */
  | 'unsupported'
  /** The file, or a field or tensor in it, is not there or cannot be read. */
  | 'missing';

export class ModelFileError extends Error {
  readonly code: ModelFileErrorCode;

  constructor(code: ModelFileErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'ModelFileError';
    this.code = code;
  }
}
