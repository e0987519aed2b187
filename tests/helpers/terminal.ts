/** Runs the `quern` command at a terminal of its own, as a person would. Needs python3 for the terminal. */
import { execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Once the pattern is shown, the keys are typed. */
export type TerminalStep = readonly [pattern: string, keys: string];

/** Waits for a pattern, sends keys, and so on. Prints what was shown, as JSON. */
const TERMINAL = `
import json, os, pty, re, select, sys, time
steps, command = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
shown, start, deadline = '', 0, time.time() + 30
def read():
    global shown
    if not select.select([terminal], [], [], 0.1)[0]:
        return time.time() < deadline
    try:
        data = os.read(terminal, 65536)
    except OSError:
        return False
    shown += data.decode('utf-8', 'replace')
    return bool(data)
for pattern, keys in steps:
    while True:
        match = re.compile(pattern, re.S).search(shown, start)
        if match or not read():
            break
    if not match:
        break
    start = match.end()
    os.write(terminal, keys.encode())
while read():
    pass
done, status = os.waitpid(pid, os.WNOHANG)
while done == 0 and time.time() < deadline:
    time.sleep(0.02)
    done, status = os.waitpid(pid, os.WNOHANG)
if done == 0:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
print(json.dumps({'shown': shown, 'code': os.waitstatus_to_exitcode(status) if done else None}))
`;

export const hasTerminal = process.platform !== 'win32' && hasPty();
export const terminalNote = hasTerminal ? '' : ' [skipped: needs python3 with pty]';

function hasPty(): boolean {
  try {
    execFileSync('python3', ['-c', 'import os, pty; os.waitstatus_to_exitcode'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** @param env  besides the test's own environment */
export function atTerminal(
  steps: readonly TerminalStep[],
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ shown: string; code: number | null }> {
  const bin = fileURLToPath(new URL('../../bin/quern.js', import.meta.url));
  const child = spawn('python3', ['-c', TERMINAL, JSON.stringify(steps), process.execPath, bin, ...args], {
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '1', ...env },
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      try {
        resolve(JSON.parse(output) as { shown: string; code: number | null });
      } catch (error) {
        reject(error);
      }
    });
  });
}
