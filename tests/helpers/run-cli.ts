/** Runs the `quern` command as a user would, in a process of its own. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/quern.js', import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunCliOptions {
  /** Written to stdin, which is then closed. Default: empty. */
  readonly stdin?: string | Uint8Array;
  /** Stdin stays open: more may come. Default false. */
  readonly keepsStdinOpen?: boolean;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called with the process when it has started. */
  readonly onStart?: (child: ReturnType<typeof spawn>) => void;
  /** Called with the process once it has printed something on stdout. */
  readonly onFirstOutput?: (child: ReturnType<typeof spawn>) => void;
}

export function runCli(args: readonly string[], options: RunCliOptions = {}): Promise<CliResult> {
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { ...process.env, NO_COLOR: '1', ...options.env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout === '') options.onFirstOutput?.(child);
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => {});
  child.stdin.write(options.stdin ?? '');
  if (options.keepsStdinOpen !== true) child.stdin.end();
  options.onStart?.(child);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}
