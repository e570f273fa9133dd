/**
 * The OpenAPI document as the generator makes it → as it is read: schemas with a title are written once and referred to,
 * every operation says how it may fail, and answers list the headers that all of them carry. Pure. Two schemas of one
 * title are a mistake and throw.
 */

type Node = Readonly<Record<string, unknown>>;
type Responses = Record<string, Node>;

/** One per method and path; what else an operation holds is passed on. */
interface Operation extends Node {
  readonly summary?: string;
  readonly responses?: Responses;
}

export interface ApiDocument extends Node {
  readonly components?: Node;
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/** What the generator writes where it knows nothing. */
const noDescription = 'Default Response';

const header = (description: string, schema: Node): Node => ({ description, schema });
const text: Node = { type: 'string' };
const digits: Node = { type: 'string', pattern: '^[0-9]+$' };

const headers = {
  'x-request-id': header('Names the request in logs; one that the client sends is kept.', text),
  'openai-processing-ms': header('Milliseconds from request to answer, of a stream to its start.', digits),
  'x-should-retry': header('May the same request succeed later?', { enum: ['true', 'false'] }),
  'retry-after': header('Seconds until then, where a wait helps.', digits),
  'retry-after-ms': header('The same in milliseconds.', digits),
};

const always = ['x-request-id', 'openai-processing-ms'] as const;
const ofErrors = [...always, 'x-should-retry', 'retry-after', 'retry-after-ms'] as const;

const failures = {
  '4XX': {
    component: 'Refusal',
    description:
      'The request is refused: `error.code` says why, `error.param` names the field. Among others 401 without a right ' +
      'key, 404 for what is not there, 409 for an idempotency key that came with another body, 413 and 415 for bodies ' +
      'that are too large or no JSON, 429 beyond a limit or when all places are taken.',
  },
  '5XX': {
    component: 'Failure',
    description:
      'The gateway or the model behind it failed: 503 while the model loads, the gateway drains or a worker is out of ' +
      'reach.',
  },
} as const;

export function finishDocument(document: ApiDocument): ApiDocument {
  const schemas: Record<string, unknown> = {};
  const paths = mapValues(document.paths ?? {}, (methods) =>
    mapValues(methods, (operation) => hoist(withFailures(operation), schemas)),
  );
  const error = { $ref: '#/components/schemas/Error' };
  const responses = Object.values(failures).map(({ component, description }) => [
    component,
    { description, headers: refs(ofErrors), content: { 'application/json': { schema: error } } },
  ]);
  return {
    ...document,
    components: {
      ...document.components,
      schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))),
      headers,
      responses: Object.fromEntries(responses),
    },
    paths,
  };
}

function withFailures(operation: Operation): Operation {
  const given = Object.entries(operation.responses ?? {})
    .filter(([status]) => !Object.hasOwn(failures, status))
    .map(([status, response]) => [status, described(status, response, operation.summary ?? '')] as const);
  const failing = Object.entries(failures).map(([status, { component }]) => [
    status,
    { $ref: `#/components/responses/${component}` },
  ]);
  return { ...operation, responses: Object.fromEntries([...given, ...failing]) };
}

function described(status: string, response: Node, summary: string): Node {
  const description = response['description'] === noDescription ? `${summary}.` : response['description'];
  return { ...response, description, headers: refs(status === '101' ? ['x-request-id'] : always) };
}

function refs(names: readonly string[]): Node {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

/** The document with every reference replaced by what it refers to. None of ours holds itself. */
export function inlineReferences(document: ApiDocument): ApiDocument {
  const components = (document.components ?? {}) as Readonly<
    Record<string, Readonly<Record<string, unknown>>>
  >;
  const inline = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(inline);
    if (typeof node !== 'object' || node === null) return node;
    const { $ref } = node as Node;
    if (typeof $ref !== 'string') return mapValues(node as Node, inline);
    const [kind = '', name = ''] = $ref.split('/').slice(-2);
    return inline(components[kind]?.[name]);
  };
  return { ...document, paths: inline(document.paths) } as ApiDocument;
}

/** The node with every titled schema below it replaced by a reference; the schemas themselves go into `schemas`. */
function hoist<T>(node: T, schemas: Record<string, unknown>): T {
  if (Array.isArray(node)) return node.map((one) => hoist(one, schemas)) as T;
  if (typeof node !== 'object' || node === null) return node;
  const inside = mapValues(node as Node, (one) => hoist(one, schemas));
  const { title } = inside;
  if (typeof title !== 'string' || !('type' in inside)) return inside as T;
  const known = schemas[title];
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(inside)) {
    throw new Error(`two different schemas are called ${title}`);
  }
  schemas[title] = inside;
  return { $ref: `#/components/schemas/${title}` } as T;
}

function mapValues<V, R>(object: Readonly<Record<string, V>>, map: (value: V) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value)]));
}
