/**
 * `GET /v1/models` and `GET /v1/models/{id}`. Ids may hold slashes, which clients send raw or as %2F; hence the
 * wildcard, which the router decodes.
 */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import { type CallForm, taggedCalls } from '../src/text/call-form.ts';
import { ErrorBody, ModelBody, ModelList } from './schemas.ts';

/** A model that is served. */
export interface ModelCard {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** Longest prompt and answer together, in tokens. */
  readonly contextLength: number;
  /** Changes when a bit of a logit may; for `system_fingerprint`. */
  readonly fingerprint?: string;
  /** How it writes calls of tools; left out: as it is told in words. */
  readonly callForm?: CallForm;
}

export interface ModelDirectory {
  list(): readonly ModelCard[];
}

export interface ModelRoutesOptions {
  readonly models: ModelDirectory;
}

export async function modelRoutes(app: FastifyInstance, { models }: ModelRoutesOptions): Promise<void> {
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();
  const tags = ['models'];
  routes.get(
    '/v1/models',
    { schema: { operationId: 'listModels', summary: 'List the models', tags, response: { 200: ModelList } } },
    async () => ({ object: 'list' as const, data: models.list().map(modelBody) }),
  );
  routes.get(
    '/v1/models/*',
    {
      schema: {
        operationId: 'retrieveModel',
        summary: 'Describe a model',
        tags,
        params: Type.Object({ '*': Type.String({ description: 'Its id; slashes raw or as %2F.' }) }),
        response: { 200: ModelBody, '4xx': ErrorBody },
      },
    },
    async ({ params }) => modelBody(findModel(models, params['*'])),
  );
}

/** How a model writes calls, also while it is not known to be served. */
export function callFormOf(models: ModelDirectory, id: string): CallForm {
  return models.list().find((card) => card.id === id)?.callForm ?? taggedCalls;
}

/** Throws model_not_found, naming what is served. */
export function findModel(models: ModelDirectory, id: string): ModelCard {
  const cards = models.list();
  const card = cards.find((candidate) => candidate.id === id);
  if (card !== undefined) return card;
  const served = cards.map((candidate) => `'${candidate.id}'`).join(', ') || 'none yet';
  throw new GatewayError(
    'model_not_found',
    `The model '${id.slice(0, 100)}' does not exist here. Served: ${served}.`,
    {
      param: 'model',
    },
  );
}

function modelBody({ id, created, contextLength }: ModelCard): ModelBody {
  return { id, object: 'model', created, owned_by: 'foretoken', max_model_len: contextLength };
}
