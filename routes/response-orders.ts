/** Validated Responses bodies → orders, the same way for HTTP and for sockets. */
import type { FastifyRequest } from 'fastify';
import type { NewId } from '../src/responses/items.ts';
import type { ResponseOrder } from '../src/responses/response-maker.ts';
import { taggedCalls } from '../src/text/call-form.ts';
import { findModel, type ModelDirectory } from './models.ts';
import { checkResponseFields, inResponseTerms, readResponseRequest } from './response-request.ts';
import type { ResponseRequestBody } from './response-schemas.ts';
import { createUnknownNote } from './unknown-fields.ts';

/** Throws model_not_found, invalid_request, unsupported_parameter. */
export type ReadOrder = (body: ResponseRequestBody, request: FastifyRequest) => ResponseOrder;

export function createOrderReader(options: {
  readonly models: ModelDirectory;
  readonly newId: NewId;
}): ReadOrder {
  const noteUnknown = createUnknownNote();
  return (body, request) => {
    noteUnknown(checkResponseFields(body), request);
    const { id, contextLength, callForm = taggedCalls } = findModel(options.models, body.model);
    try {
      const { owner } = request;
      const context = { owner, model: id, contextLength, callForm, newId: options.newId };
      return readResponseRequest(body, context);
    } catch (error) {
      throw inResponseTerms(error);
    }
  };
}
