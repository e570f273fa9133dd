/**
 * The API document as one page of HTML: no script, nothing from elsewhere, so that it reads the same offline and under
 * the strictest policy. Pure; every text from the document is escaped.
 */

/** The parts of an OpenAPI 3.1 document that are shown. */
export interface ReferenceDocument {
  readonly info: { readonly title: string; readonly description?: string; readonly version: string };
  readonly tags?: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly summary?: string;
  readonly operationId?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly unknown[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Body;
  readonly responses?: Readonly<Record<string, Body>>;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema?: ReferenceSchema;
}

interface Body {
  readonly description?: string;
  readonly content?: Readonly<Record<string, { readonly schema?: ReferenceSchema }>>;
}

/** JSON Schema, as far as it is shown. */
export interface ReferenceSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly ReferenceSchema[];
  readonly items?: ReferenceSchema;
  readonly properties?: Readonly<Record<string, ReferenceSchema>>;
  readonly additionalProperties?: boolean | ReferenceSchema;
  readonly required?: readonly string[];
  readonly [bound: string]: unknown;
}

/** Deeper nesting is named, not shown: schemas that hold themselves would never end. */
const depthMax = 12;

const bounds = [
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'maxProperties',
  'pattern',
];

const style = `
:root { color-scheme: light dark; --line: #8884; --dim: #777; --accent: #b4530a; }
@media (prefers-color-scheme: dark) { :root { --dim: #999; --accent: #f0a35e; } }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 6rem; }
h1 { margin: 0 0 .5rem; } h2 { margin: 3rem 0 1rem; text-transform: capitalize; }
nav a { margin-right: 1rem; } a { color: var(--accent); }
article { border: 1px solid var(--line); border-radius: 8px; margin: 1rem 0; padding: 1rem; }
article > h3 { font: 600 1rem/1.5 ui-monospace, monospace; margin: 0; overflow-wrap: anywhere; }
article > h3 a { color: inherit; text-decoration: none; }
.method { color: var(--accent); display: inline-block; min-width: 4.5em; }
p { margin: .4rem 0; } .dim { color: var(--dim); } code { font: .9em ui-monospace, monospace; }
summary { cursor: pointer; padding: .25rem 0; } summary:focus-visible { outline: 2px solid var(--accent); }
dl { border-left: 2px solid var(--line); margin: .3rem 0 .3rem .2rem; padding-left: 1rem; }
dt { font: .9rem/1.5 ui-monospace, monospace; margin-top: .5rem; overflow-wrap: anywhere; }
dt b { font-weight: 600; } dd { margin: 0; }
`;

export function renderReference({ info, paths, tags: named = [] }: ReferenceDocument): string {
  const operations = Object.entries(paths).flatMap(([url, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ url, method, operation })),
  );
  const used = new Set(operations.map(({ operation }) => operation.tags?.[0] ?? 'other'));
  // In the document's own order, then what it forgot to name.
  const tags = [...new Set([...named.map(({ name }) => name), ...used])].filter((tag) => used.has(tag));
  const sections = tags.map((tag) => {
    const own = operations.filter(({ operation }) => (operation.tags?.[0] ?? 'other') === tag);
    const articles = own.map(({ url, method, operation }) => article(url, method, operation));
    return `<section><h2 id="${escaped(tag)}">${escaped(tag)}</h2>${articles.join('')}</section>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(info.title)} API</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>${escaped(info.title)} API</h1>
<p>${marked(info.description ?? '')}</p>
<p class="dim">The same as a document: <a href="openapi.json">openapi.json</a></p>
<nav aria-label="Sections">${tags.map((tag) => `<a href="#${escaped(tag)}">${escaped(tag)}</a>`).join('')}</nav>
</header>
<main>${sections.join('\n')}</main>
</body>
</html>
`;
}

function article(url: string, method: string, operation: Operation): string {
  const id = escaped(operation.operationId ?? `${method}${url}`);
  const needsKey = (operation.security ?? []).length > 0;
  return [
    `<article id="${id}">`,
    `<h3><a href="#${id}"><span class="method">${escaped(method.toUpperCase())}</span> ${escaped(url)}</a></h3>`,
    `<p>${marked(operation.summary ?? '')}${needsKey ? '' : ' <span class="dim">No key needed.</span>'}</p>`,
    parameterList(operation.parameters ?? []),
    operation.requestBody === undefined ? '' : bodyDetails('Body', operation.requestBody),
    ...Object.entries(operation.responses ?? {}).map(([status, body]) => bodyDetails(status, body)),
    '</article>',
  ].join('\n');
}

function parameterList(parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return '';
  const terms = parameters.map(({ name, schema = {}, required, description }) =>
    term(name, { ...schema, ...(description !== undefined && { description }) }, required === true, 0),
  );
  return `<details open><summary>Parameters</summary><dl>${terms.join('')}</dl></details>`;
}

function bodyDetails(label: string, { description = '', content = {} }: Body): string {
  const kinds = Object.entries(content).map(([type, { schema = {} }]) => {
    const about = schema.description === undefined ? '' : `<p>${marked(schema.description)}</p>`;
    return `<p><code>${escaped(type)}</code> <span class="dim">${escaped(typeOf(schema))}</span></p>${about}${inner(schema, 0)}`;
  });
  const heading = `<code>${escaped(label)}</code> ${marked(description)}`;
  return `<details><summary>${heading}</summary>${kinds.join('')}</details>`;
}

function term(name: string, schema: ReferenceSchema, isRequired: boolean, depth: number): string {
  const told = schema.description === undefined ? '' : `<p>${marked(schema.description)}</p>`;
  const need = isRequired ? ' <span class="dim">required</span>' : '';
  return `<dt><b>${escaped(name)}</b> <span class="dim">${escaped(typeOf(schema))}</span>${need}</dt><dd>${told}${inner(schema, depth + 1)}</dd>`;
}

/** The fields of an object, wherever it hides: in a list, in a union. */
function inner(schema: ReferenceSchema, depth: number): string {
  const objects = objectsIn(schema);
  if (objects.length === 0) return '';
  if (depth > depthMax) return '<p class="dim">…</p>';
  return objects
    .map(({ properties = {}, required = [] }) => {
      const terms = Object.entries(properties).map(([name, field]) =>
        term(name, field, required.includes(name), depth),
      );
      const list = `<dl>${terms.join('')}</dl>`;
      return depth === 0 ? list : `<details><summary class="dim">fields</summary>${list}</details>`;
    })
    .join('');
}

function objectsIn(schema: ReferenceSchema): readonly ReferenceSchema[] {
  if (schema.properties !== undefined && Object.keys(schema.properties).length > 0) return [schema];
  const values = typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : [];
  return [...(schema.anyOf ?? []), ...(schema.items === undefined ? [] : [schema.items]), ...values].flatMap(
    objectsIn,
  );
}

function typeOf(schema: ReferenceSchema): string {
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(typeOf))].join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.items !== undefined) return `array of ${typeOf(schema.items)}${boundsOf(schema)}`;
  return `${[schema.type ?? 'any'].flat().join(' | ')}${boundsOf(schema)}`;
}

function boundsOf(schema: ReferenceSchema): string {
  const told = bounds
    .filter((bound) => schema[bound] !== undefined)
    .map((bound) => `${bound} ${schema[bound]}`);
  return told.length === 0 ? '' : ` (${told.join(', ')})`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

/** Escaped, with code between backquotes. */
function marked(text: string): string {
  return escaped(text).replace(/`([^`]+)`/g, '<code>$1</code>');
}
