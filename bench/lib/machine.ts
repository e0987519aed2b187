/** Where and with what a benchmark ran: the machine, and the checkout's commit. */
import { execFileSync } from 'node:child_process';
import { describeHost, type Host } from '../../cli/host.ts';

export interface Machine extends Host {
  /** Of the checkout, '-dirty' when files other than results differ from it; 'unknown' outside a checkout. */
  readonly commit: string;
}

export function describeMachine(): Machine {
  return { ...describeHost(), commit: commit() };
}

function commit(): string {
  try {
    const hash = git('rev-parse', '--short=12', 'HEAD');
    const changes = git('status', '--porcelain', '--untracked-files=no', '--', ':(top,exclude)bench/results');
    return changes === '' ? hash : `${hash}-dirty`;
  } catch {
    return 'unknown';
  }
}

function git(...args: string[]): string {
  return execFileSync('git', args, {
    cwd: import.meta.dirname,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();
}
