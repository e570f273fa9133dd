/** `/docs`: the reference of this API to read; `/openapi.json`: the same for programs. Made once, when first asked for. */
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { type ApiDocument, inlineReferences } from './api-document.ts';
import { type ReferenceDocument, renderReference } from './reference-page.ts';

/** Nothing but the page's own style may load. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

export async function referenceRoutes(app: FastifyInstance): Promise<void> {
  const tags = ['health'];
  let page: string | null = null;
  app.get(
    '/openapi.json',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'getDocument',
        summary: 'This API as an OpenAPI document',
        tags,
        response: { 200: Type.Object({}, { additionalProperties: true, description: 'OpenAPI 3.1.' }) },
      },
    },
    async () => app.swagger(),
  );
  app.get(
    '/docs',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'getReference',
        summary: 'This API as a page to read',
        tags,
        response: { 200: { content: { 'text/html': { schema: Type.String() } } } },
      },
    },
    async (_request, reply) => {
      const document = app.swagger() as unknown as ApiDocument;
      page ??= renderReference(inlineReferences(document) as unknown as ReferenceDocument);
      reply.type('text/html; charset=utf-8').header('content-security-policy', policy);
      return page;
    },
  );
}
