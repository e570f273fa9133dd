/**
 * What can go wrong between ids and text. The first four codes speak of the model file and appear when it is opened;
 * 'rejected' speaks of one request: the template refuses these messages.
 */
export type TextErrorCode = 'missing' | 'corrupt' | 'limit' | 'unsupported' | 'rejected';

export class TextError extends Error {
  readonly code: TextErrorCode;

  constructor(code: TextErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TextError';
    this.code = code;
  }
}
