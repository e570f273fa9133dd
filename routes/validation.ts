/**
 * Errors of the schema validator → one GatewayError that names the field. Of a failed union the validator reports every
 * branch; the deepest field that failed by its value says most, then the list of what would have been allowed.
 */
import type { FastifySchemaValidationError } from 'fastify/types/schema.js';
import { GatewayError } from '../src/errors.ts';

type Failure = FastifySchemaValidationError;

/** `errors` is never empty. */
export function invalidRequest(errors: readonly Failure[]): GatewayError {
  const failures = deepest(errors);
  const [first] = failures;
  const param = pathOf(first!);
  const subject = param === '' ? 'The body' : `'${param}'`;
  return new GatewayError('invalid_request', `${subject} ${demand(failures)}.`, {
    param: param || undefined,
  });
}

function deepest(errors: readonly Failure[]): readonly Failure[] {
  const depth = (failure: Failure): number => failure.instancePath.split('/').length;
  const branches = errors.filter((failure) => failure.keyword !== 'anyOf');
  const candidates = branches.length > 0 ? branches : errors;
  const most = Math.max(...candidates.map(depth));
  return candidates.filter((failure) => depth(failure) === most);
}

/** `/messages/0/content` → `messages[0].content`; a missing or surplus field is part of the path. */
function pathOf({ instancePath, params }: Failure): string {
  const steps = instancePath.split('/').slice(1);
  const extra = params['missingProperty'] ?? params['additionalProperty'];
  if (typeof extra === 'string') steps.push(extra.slice(0, 64));
  return steps
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((step, index) => (/^\d+$/.test(step) ? `[${step}]` : index === 0 ? step : `.${step}`))
    .join('');
}

function demand(failures: readonly Failure[]): string {
  const isChoice = ({ keyword }: Failure): boolean => keyword === 'type' || keyword === 'const';
  const byValue = failures.find((failure) => !isChoice(failure));
  if (byValue?.keyword === 'required') return 'is missing';
  if (byValue?.keyword === 'additionalProperties') return 'is not known here';
  if (byValue?.keyword === 'enum') return `must be one of ${listOf(byValue.params['allowedValues'])}`;
  if (byValue !== undefined) return byValue.message ?? 'is invalid';
  const allowed = failures.map(({ keyword, params }) =>
    keyword === 'type' ? withArticle(String(params['type'])) : JSON.stringify(params['allowedValue']),
  );
  // null means "as if not sent" and need not be recommended.
  const named = [...new Set(allowed)].filter((name, _, all) => name !== 'null' || all.length === 1);
  return `must be ${named.join(' or ')}`;
}

const listOf = (values: unknown): string => (Array.isArray(values) ? values.join(', ') : String(values));

const withArticle = (type: string): string =>
  type === 'null' ? type : `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`;
