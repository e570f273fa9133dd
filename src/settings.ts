/**
 * Every setting of the gateway and of a worker, once: the schema gives type and check, the annotations give variable,
 * flag, default and the sentence that --help and .env.example print. config.ts reads values into these shapes.
 */
import { type Static, type TSchema, Type } from 'typebox';
import { quantisations } from '../shards/manifest.ts';
import { schedulingPolicies } from './engine/policy.ts';
import { packedSlots } from './models/pack.ts';
import { batchGraphs as graphForms } from './shard-graphs.ts';

/** How text becomes a value; without it, the schema's own type decides. */
export type SettingForm =
  | 'text'
  | 'secret'
  | 'integer'
  | 'bytes'
  | 'switch'
  | 'list'
  | 'layers'
  | 'address'
  | 'path';

interface SettingAnnotations {
  readonly env: string;
  /** As commander takes it: `--port <number>`. */
  readonly flags: string;
  readonly group: string;
  readonly form: SettingForm;
  readonly description: string;
  /** The default as a user would write it; '' is unset, null means that one must be given. */
  readonly fallback: string | null;
  /** What is expected, for messages: "a number from 1 to 65535". */
  readonly expected: string;
}

/** One setting as `--help`, `.env.example` and loadConfig see it. */
export interface Setting extends SettingAnnotations {
  /** Key in the loaded config. */
  readonly key: string;
  /** Key under which commander hands the flag's value: `kvBytes` for `--kv-bytes`. */
  readonly flagKey: string;
  readonly schema: TSchema;
}

function setting<T extends TSchema>(schema: T, annotations: SettingAnnotations): T {
  return { ...schema, ...annotations };
}

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** Session, queue and shard counts beyond these are typing errors, not wishes. */
const sessionsLimit = 1024;
const queueLimit = 65_536;
const shardsLimit = 64;
const contextLimit = 1 << 20;
/**
 * As many as four stages behind slow links take to be full, eight of them in a pass of each; fewer leave stages idle while
 * requests wait, more only share them (docs/benchmarks.md, simulated). Caches have a bound of their own, and with four
 * places for each at work a worker of 256 sessions serves two gateways.
 */
const sessionsUsual = 32;
/** As long as an answer may take. */
const drainLimitS = 3600;

const limitPerKeyMax = 1_000_000_000;
const originsLimit = 64;

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export const topologies = ['chain', 'star'] as const;

const home = setting(Type.String({ minLength: 1 }), {
  env: 'FORETOKEN_HOME',
  flags: '--home <folder>',
  group: 'Model',
  form: 'path',
  description: 'Folder of downloaded models and packed shards.',
  fallback: '~/.cache/foretoken',
  expected: 'a folder',
});

const model = setting(Type.String({ minLength: 1 }), {
  env: 'FORETOKEN_MODEL',
  flags: '--model <name|path>',
  group: 'Model',
  form: 'text',
  description: 'Model to serve: a name of the catalog, or the path of a GGUF file.',
  fallback: 'smollm2-135m-instruct',
  expected: 'a catalog name or the path of a .gguf file',
});

const context = setting(nullable(Type.Integer({ minimum: 16, maximum: contextLimit })), {
  env: 'FORETOKEN_CONTEXT',
  flags: '--context <tokens>',
  group: 'Model',
  form: 'integer',
  description: 'Longest prompt and answer together, in tokens. Unset: what the model was trained for.',
  fallback: '',
  expected: `a number of tokens from 16 to ${contextLimit}`,
});

const quantisation = setting(Type.Enum([...quantisations]), {
  env: 'FORETOKEN_QUANT',
  flags: '--quant <form>',
  group: 'Model',
  form: 'text',
  description: "Weights of the linears: the file's own codes (native), 8bit or fp32.",
  fallback: 'native',
  expected: `one of ${quantisations.join(', ')}`,
});

const clusterKey = setting(nullable(Type.String({ minLength: 16, maxLength: 256 })), {
  env: 'FORETOKEN_CLUSTER_KEY',
  flags: '--cluster-key <secret>',
  group: 'Cluster',
  form: 'secret',
  description: 'Secret shared by gateway and workers; embedded workers get a random one.',
  fallback: '',
  expected: 'a secret of 16 to 256 characters',
});

const kvBytes = setting(Type.Integer({ minimum: 1 << 20, maximum: 2 ** 50 }), {
  env: 'FORETOKEN_KV_BYTES',
  flags: '--kv-bytes <size>',
  group: 'Cluster',
  form: 'bytes',
  description: 'Key/value cache of each worker.',
  fallback: '1GiB',
  expected: 'a size of at least 1MiB, such as 512MiB, 1GiB or 1073741824',
});

const batchSessions = setting(Type.Integer({ minimum: 1, maximum: packedSlots }), {
  env: 'FORETOKEN_BATCH_SESSIONS',
  flags: '--batch-sessions <count>',
  group: 'Cluster',
  form: 'integer',
  description: 'Sessions whose rows may share a pass of a worker; 1 runs each alone.',
  fallback: String(packedSlots),
  expected: `a number from 1 to ${packedSlots}`,
});

/** More threads than any machine has cores are a slip of the pen. */
const engineThreadsMax = 256;

const threads = setting(Type.Integer({ minimum: 0, maximum: engineThreadsMax }), {
  env: 'FORETOKEN_THREADS',
  flags: '--threads <count>',
  group: 'Cluster',
  form: 'integer',
  description: 'Threads of a shard; 0: its share of the cores here, up to 8. No bit depends on it.',
  fallback: '0',
  expected: `a number from 0 to ${engineThreadsMax}`,
});

const batchGraphs = setting(Type.Enum([...graphForms]), {
  env: 'FORETOKEN_BATCH_GRAPHS',
  flags: '--batch-graphs <auto|one|two>',
  group: 'Cluster',
  form: 'text',
  description:
    'Graphs that a worker loads for shared passes. two: a second one, with the weights in memory twice. one: one for all passes, a little slower for a single session. auto: two where memory is plentiful.',
  fallback: 'auto',
  expected: `one of ${graphForms.join(', ')}`,
});

const logLevel = setting(Type.Enum([...logLevels]), {
  env: 'LOG_LEVEL',
  flags: '--log-level <level>',
  group: 'Logging',
  form: 'text',
  description: 'Least severe log lines that are written.',
  fallback: 'info',
  expected: `one of ${logLevels.join(', ')}`,
});

/** A limit of API keys that have none of their own; without keys, of everybody together. */
function keyLimit(flag: string, variable: string, what: string) {
  return setting(nullable(Type.Integer({ minimum: 1, maximum: limitPerKeyMax })), {
    env: `FORETOKEN_KEY_${variable}`,
    flags: `--key-${flag} <count>`,
    group: 'Access',
    form: 'integer',
    description: `${what}, unless its line says otherwise. Unset: no limit.`,
    fallback: '',
    expected: `a number from 1 to ${limitPerKeyMax}`,
  });
}

const gatewaySchema = Type.Object({
  host: setting(Type.String({ minLength: 1 }), {
    env: 'FORETOKEN_HOST',
    flags: '--host <address>',
    group: 'Listening',
    form: 'text',
    description:
      'Address to listen on. Beyond loopback it needs FORETOKEN_API_KEYS or FORETOKEN_ALLOW_PUBLIC=1.',
    fallback: '127.0.0.1',
    expected: 'an address or a host name',
  }),
  port: setting(Type.Integer({ minimum: 0, maximum: 65_535 }), {
    env: 'FORETOKEN_PORT',
    flags: '--port <number>',
    group: 'Listening',
    form: 'integer',
    description: 'Port to listen on; 0 takes any free one.',
    fallback: '8000',
    expected: 'a number from 0 to 65535',
  }),
  allowPublic: setting(Type.Boolean(), {
    env: 'FORETOKEN_ALLOW_PUBLIC',
    flags: '--allow-public',
    group: 'Listening',
    form: 'switch',
    description: 'Serve beyond loopback, and any Host header, although no key protects the gateway.',
    fallback: '0',
    expected: '1 or 0',
  }),
  corsOrigins: setting(
    Type.Array(Type.String({ pattern: '^(\\*|https?://[^/?#@\\s]+)$' }), { maxItems: originsLimit }),
    {
      env: 'FORETOKEN_CORS_ORIGINS',
      flags: '--cors-origins <origins>',
      group: 'Listening',
      form: 'list',
      description:
        'Web pages that may call the API from a browser, separated by commas; * is any. Unset: none.',
      fallback: '',
      expected: `at most ${originsLimit} origins such as https://app.example, separated by commas, or *`,
    },
  ),
  apiKeys: setting(nullable(Type.String({ minLength: 1 })), {
    env: 'FORETOKEN_API_KEYS',
    flags: '--api-keys <keys|file>',
    group: 'Access',
    form: 'secret',
    description:
      'Keys that clients must show, separated by commas, or the path of a file of lines from `foretoken keys`.',
    fallback: '',
    expected: 'keys separated by commas, or a path with a slash',
  }),
  keyRequestsPerMin: keyLimit('requests-per-min', 'REQUESTS_PER_MIN', 'Requests per minute of each key'),
  keyTokensPerMin: keyLimit(
    'tokens-per-min',
    'TOKENS_PER_MIN',
    'Prompt and output tokens per minute of each key',
  ),
  keyParallel: keyLimit('parallel', 'PARALLEL', 'Requests of each key that are answered at once'),
  sharedPrefixes: setting(Type.Boolean(), {
    env: 'FORETOKEN_SHARED_PREFIXES',
    flags: '--shared-prefixes',
    group: 'Access',
    form: 'switch',
    description:
      'Let requests of one API key start from cached prompts of others: faster where keys share a system prompt, but the time to the first token then tells what others have asked.',
    fallback: '0',
    expected: '1 or 0',
  }),
  adminKey: setting(nullable(Type.String({ minLength: 16, maxLength: 256 })), {
    env: 'FORETOKEN_ADMIN_KEY',
    flags: '--admin-key <secret>',
    group: 'Access',
    form: 'secret',
    description: 'Secret for /metrics; unset, only this machine itself may read them.',
    fallback: '',
    expected: 'a secret of 16 to 256 characters',
  }),
  sessionsMax: setting(Type.Integer({ minimum: 1, maximum: sessionsLimit }), {
    env: 'FORETOKEN_MAX_SESSIONS',
    flags: '--max-sessions <count>',
    group: 'Listening',
    form: 'integer',
    description: 'Answers in the making at once; what caches they take is bounded by --kv-bytes.',
    fallback: String(sessionsUsual),
    expected: `a number from 1 to ${sessionsLimit}`,
  }),
  scheduling: setting(Type.Enum([...schedulingPolicies]), {
    env: 'FORETOKEN_SCHEDULING',
    flags: '--scheduling <policy>',
    group: 'Listening',
    form: 'text',
    description:
      'Who goes first where answers compete: laps (by arrival, with a start for those that need little), srtf (least estimated time) or fcfs (order of arrival). API keys share alike under each.',
    fallback: 'laps',
    expected: `one of ${schedulingPolicies.join(', ')}`,
  }),
  queueMax: setting(Type.Integer({ minimum: 0, maximum: queueLimit }), {
    env: 'FORETOKEN_MAX_QUEUE',
    flags: '--max-queue <count>',
    group: 'Listening',
    form: 'integer',
    description: 'Requests that may wait for a place or a turn; further ones are answered 429.',
    fallback: '128',
    expected: `a number from 0 to ${queueLimit}`,
  }),
  drainS: setting(Type.Integer({ minimum: 0, maximum: drainLimitS }), {
    env: 'FORETOKEN_DRAIN_S',
    flags: '--drain-s <seconds>',
    group: 'Listening',
    form: 'integer',
    description:
      'On SIGTERM answers under way may go on for so long while new requests are answered 503; Ctrl-C ends them at once.',
    fallback: '20',
    expected: `a number from 0 to ${drainLimitS}`,
  }),
  model,
  draft: setting(Type.String({ minLength: 1 }), {
    env: 'FORETOKEN_DRAFT',
    flags: '--draft <auto|none|name|path>',
    group: 'Model',
    form: 'text',
    description:
      'Local model that drafts beside the suffix index: auto (the trained head of the served model if there is one), none, a draft head (.json), a name of the catalog or a GGUF file.',
    fallback: 'auto',
    expected: 'auto, none, a catalog name or the path of a .json draft head or a .gguf file',
  }),
  home,
  storeBytes: setting(Type.Integer({ minimum: 32 * 2 ** 20, maximum: 2 ** 50 }), {
    env: 'FORETOKEN_STORE_BYTES',
    flags: '--store-bytes <size>',
    group: 'Storage',
    form: 'bytes',
    description: 'Stored responses of each API key, and again its conversations; the oldest go.',
    fallback: '256MiB',
    expected: 'a size of at least 32MiB, such as 256MiB or 1GiB',
  }),
  context,
  quantisation,
  shards: setting(Type.Integer({ minimum: 1, maximum: shardsLimit }), {
    env: 'FORETOKEN_SHARDS',
    flags: '--shards <count>',
    group: 'Cluster',
    form: 'integer',
    description: 'Embedded workers that the model is cut over, when no FORETOKEN_WORKERS are given.',
    fallback: '2',
    expected: `a number from 1 to ${shardsLimit}`,
  }),
  workers: setting(
    Type.Array(Type.String({ pattern: '^https?://[^/?#@\\s]+$' }), { maxItems: shardsLimit }),
    {
      env: 'FORETOKEN_WORKERS',
      flags: '--workers <urls>',
      group: 'Cluster',
      form: 'list',
      description: 'Workers to use instead of embedded ones, separated by commas, in any order.',
      fallback: '',
      expected: `at most ${shardsLimit} origins such as http://10.0.0.5:9000, separated by commas`,
    },
  ),
  clusterKey,
  topology: setting(Type.Enum([...topologies]), {
    env: 'FORETOKEN_TOPOLOGY',
    flags: '--topology <chain|star>',
    group: 'Cluster',
    form: 'text',
    description: 'chain: workers hand hidden rows to the next one. star: every hop goes through the gateway.',
    fallback: 'chain',
    expected: `one of ${topologies.join(', ')}`,
  }),
  kvBytes,
  batchSessions,
  batchGraphs,
  threads,
  logLevel,
});

const workerSchema = Type.Object({
  model,
  layers: setting(
    Type.Object({ start: Type.Integer({ minimum: 0 }), end: Type.Integer({ minimum: 1, maximum: 1024 }) }),
    {
      env: 'FORETOKEN_LAYERS',
      flags: '--layers <a:b>',
      group: 'Model',
      form: 'layers',
      description: 'Decoder layers that this worker serves, half-open: 0:15 is the first fifteen.',
      fallback: null,
      expected: 'two numbers a:b with a < b, such as 0:15',
    },
  ),
  home,
  context,
  quantisation,
  listen: setting(
    Type.Object({ host: Type.String({ minLength: 1 }), port: Type.Integer({ minimum: 0, maximum: 65_535 }) }),
    {
      env: 'FORETOKEN_LISTEN',
      flags: '--listen <host:port>',
      group: 'Listening',
      form: 'address',
      description: 'Where the worker serves shards. Beyond loopback it needs a cluster key.',
      fallback: '127.0.0.1:9000',
      expected: 'host:port, such as 127.0.0.1:9000 or [::1]:9000',
    },
  ),
  clusterKey,
  kvBytes,
  batchSessions,
  batchGraphs,
  threads,
  logLevel,
});

/** What the gateway runs with. */
export type Config = Readonly<Static<typeof gatewaySchema>>;
/** What `foretoken worker` runs with. */
export type WorkerConfig = Readonly<Static<typeof workerSchema>>;

function listSettings(properties: Record<string, TSchema>): readonly Setting[] {
  return Object.entries(properties).map(([key, schema]) => {
    const annotations = schema as TSchema & SettingAnnotations;
    return { ...annotations, key, flagKey: flagKeyOf(annotations.flags), schema };
  });
}

/** `--kv-bytes <size>` → `kvBytes`, commander's rule. */
function flagKeyOf(flags: string): string {
  const name = flags.split(' ')[0]!.slice('--'.length);
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

export const gatewaySettings = listSettings(gatewaySchema.properties);
export const workerSettings = listSettings(workerSchema.properties);
