/**
 * Which hosts never leave this machine (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3, RFC 6761 §6.3). Decides by the text alone:
 * a name that merely resolves to a loopback address is foreign, since that is how DNS rebinding looks.
 */
import { isIP } from 'node:net';

/** True for `localhost`, names below it, 127.0.0.0/8, ::1 and its mapped form; brackets are fine. */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  if (name === '::1') return true;
  const v4 = name.startsWith('::ffff:') ? name.slice('::ffff:'.length) : name;
  return isIP(v4) === 4 && v4.startsWith('127.');
}
