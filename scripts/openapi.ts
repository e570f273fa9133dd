/**
 * Writes openapi.yaml from the schemas of the routes; `--check` only compares and fails on a difference.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { buildApp } from '../src/app.ts';
import { createKeyRing } from '../src/key-ring.ts';
import { createMetrics } from '../src/metrics.ts';
import { openDatabase } from '../src/responses/database.ts';

const target = new URL('../openapi.yaml', import.meta.url);
const head = '# Made by `npm run generate` from routes/schemas.ts and the routes; do not edit.\n';

/** The whole file. No part of the gateway behind the routes is needed for it. */
export async function openapiYaml(): Promise<string> {
  const database = openDatabase(':memory:');
  const app = await buildApp({
    prompts: () => {
      throw new Error('there is no model behind this app');
    },
    store: { database, bytesMax: 0 },
    completions: { start: () => Promise.reject(new Error('there is no engine behind this app')) },
    models: { list: () => [] },
    readiness: () => ({ state: 'loading', detail: null }),
    metrics: createMetrics({ modelName: '' }),
    config: { allowPublic: false, adminKey: null, corsOrigins: [] },
    keys: createKeyRing([], { requestsPerMin: null, tokensPerMin: null, parallel: null }, () => 0),
    log: pino({ level: 'silent' }),
  });
  const document = app.swagger();
  await app.close();
  database.close();
  return (
    head + stringify(JSON.parse(JSON.stringify(document)), { lineWidth: 110, aliasDuplicateObjects: false })
  );
}

if (import.meta.main) {
  const text = await openapiYaml();
  if (!process.argv.includes('--check')) await writeFile(target, text);
  else if ((await readFile(target, 'utf8').catch(() => '')) !== text) {
    console.error('openapi.yaml is not what the schemas say. Run: npm run generate');
    process.exitCode = 1;
  }
}
