/**
 * Errors of the schema validator → one GatewayError that names the field. Of a failed union the validator reports every
 * branch; a value out of bounds says most (its kind was right), then the deepest field, with what is allowed there.
 */
import type { FastifySchemaValidationError } from 'fastify/types/schema.js';
import { GatewayError } from '../src/errors.ts';

type Failure = FastifySchemaValidationError;

/** `errors` is never empty. */
export function invalidRequest(errors: readonly Failure[]): GatewayError {
  const failures = deepest(errors);
  const param = pathOf(failures.find(isOutOfBounds) ?? failures[0]!);
  const subject = param === '' ? 'The body' : `'${param}'`;
  return new GatewayError('invalid_request', `${subject} ${demand(failures)}.`, {
    param: param || undefined,
  });
}

function deepest(errors: readonly Failure[]): readonly Failure[] {
  const depth = (failure: Failure): number => failure.instancePath.split('/').length;
  const branches = errors.filter((failure) => failure.keyword !== 'anyOf');
  const outOfBounds = branches.filter(isOutOfBounds);
  const candidates = [outOfBounds, branches, errors].find(({ length }) => length > 0)!;
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

const kindKeywords: ReadonlySet<string> = new Set([
  'type',
  'const',
  'enum',
  'required',
  'additionalProperties',
  'anyOf',
]);
/** Of the right kind, but too large, too long or badly formed. */
const isOutOfBounds = ({ keyword }: Failure): boolean => !kindKeywords.has(keyword);

function demand(failures: readonly Failure[]): string {
  const isByValue = ({ keyword }: Failure): boolean => keyword !== 'type' && keyword !== 'const';
  const byValue = failures.find(isOutOfBounds) ?? failures.find(isByValue);
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
