/** What the parts of this folder are handed in a real process: random ids and other processes' lives. */
import { randomUUID } from 'node:crypto';

export const newId = (prefix: string): string => prefix + randomUUID().replaceAll('-', '');

/** Is there a process of this number, whoever it is? */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It lives, but belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
