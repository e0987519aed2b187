/** What was typed at the prompt, kept between chats in one file, a line each, oldest first. A line that begins with a
 * blank is not kept, as in a shell. A file that cannot be read or written costs the history and nothing else. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

/** Lines kept. The file may grow to twice as many before it is cut. */
const MAX_LINES = 1000;

export class HistoryFile {
  readonly #path: string;
  readonly #onProblem: (problem: string) => void;
  #isUsable = true;

  /** @param onProblem  told once why there is no history */
  constructor(path: string, onProblem: (problem: string) => void) {
    this.#path = path;
    this.#onProblem = onProblem;
  }

  /** Newest first. */
  load(): string[] {
    return this.#try([], () => {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      const lines = readIfThere(this.#path)
        .split('\n')
        .filter((line) => line !== '');
      const kept = lines.slice(-MAX_LINES);
      if (lines.length > 2 * MAX_LINES) writeFileSync(this.#path, `${kept.join('\n')}\n`, { mode: 0o600 });
      return kept.reverse();
    });
  }

  append(line: string): void {
    if (line.trim() === '' || line.startsWith(' ')) return;
    this.#try(undefined, () => appendFileSync(this.#path, `${line}\n`, { mode: 0o600 }));
  }

  #try<T>(fallback: T, action: () => T): T {
    if (!this.#isUsable) return fallback;
    try {
      return action();
    } catch (error) {
      this.#isUsable = false;
      this.#onProblem(`no history: ${(error as Error).message}`);
      return fallback;
    }
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** Source: the XDG base directory specification; on Windows the user's local application data. */
export function chatHistoryPath(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  const named = platform === 'win32' ? env.LOCALAPPDATA : env.XDG_STATE_HOME;
  const fallback = platform === 'win32' ? join(homedir(), 'AppData', 'Local') : join(homedir(), '.local', 'state');
  return join(named !== undefined && isAbsolute(named) ? named : fallback, 'quern', 'chat-history');
}
