/** `GET /version`: which Foretoken this is. */
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';

export interface VersionOptions {
  readonly version: string;
}

export async function versionRoutes(app: FastifyInstance, { version }: VersionOptions): Promise<void> {
  const response = {
    200: Type.Object(
      { version: Type.String() },
      { title: 'Version', description: 'Which Foretoken this is.' },
    ),
  };
  app.get(
    '/version',
    {
      config: { access: 'open' },
      schema: { operationId: 'getVersion', summary: 'Version of the gateway', tags: ['health'], response },
    },
    async () => ({ version }),
  );
}
