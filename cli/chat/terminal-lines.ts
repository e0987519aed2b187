/** Lines from a terminal, with editing and history. While an answer runs, what is typed is kept for the next prompt and
 * not shown, and Ctrl-C goes to the answer. Must not know what the lines mean. */
import { createInterface, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import type { LineEvent, LineSource } from './read-turn.ts';

export interface TerminalLinesOptions {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  /** Newest first. */
  readonly history: readonly string[];
  readonly onLine: (line: string) => void;
  /** Words that Tab completes. */
  readonly completions: readonly string[];
}

export class TerminalLines implements LineSource {
  readonly #output: MutableOutput;
  readonly #readline: Interface;
  /** Lines that were entered before anyone asked for them, and whether the terminal shows them already. */
  readonly #typedAhead: { readonly text: string; readonly isShown: boolean }[] = [];
  #waiting: ((event: LineEvent) => void) | undefined;
  #onInterrupt: (() => void) | undefined;
  #isEnded = false;

  constructor({ input, output, history, onLine, completions }: TerminalLinesOptions) {
    this.#output = new MutableOutput(output);
    this.#readline = createInterface({
      input,
      output: this.#output,
      terminal: true,
      history: [...history],
      historySize: 1000,
      removeHistoryDuplicates: true,
      completer: (line: string) => [
        line.startsWith('/') ? completions.filter((word) => word.startsWith(line)) : [],
        line,
      ],
    });
    this.#readline.on('line', (line) => {
      onLine(line);
      if (this.#waiting === undefined) this.#typedAhead.push({ text: line, isShown: !this.#output.isMuted });
      else this.#tell({ kind: 'line', text: line });
    });
    this.#readline.on('SIGINT', () => this.#interrupt());
    this.#readline.on('close', () => {
      this.#isEnded = true;
      this.#onInterrupt?.();
      this.#tell({ kind: 'end' });
    });
  }

  read(prompt: string): Promise<LineEvent> {
    const typed = this.#typedAhead.shift();
    if (typed !== undefined) {
      if (!typed.isShown) this.#output.write(`${prompt}${typed.text}\n`);
      return Promise.resolve({ kind: 'line', text: typed.text });
    }
    if (this.#isEnded) return Promise.resolve({ kind: 'end' });
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#readline.setPrompt(prompt);
      this.#readline.prompt(true);
    });
  }

  /** Runs a task that prints. Ctrl-C, and the end of the input, call `onInterrupt`. */
  async during<T>(onInterrupt: () => void, task: () => Promise<T>): Promise<T> {
    this.#onInterrupt = onInterrupt;
    this.#output.isMuted = true;
    try {
      return await task();
    } finally {
      this.#output.isMuted = false;
      this.#onInterrupt = undefined;
    }
  }

  close(): void {
    this.#readline.close();
  }

  #interrupt(): void {
    if (this.#onInterrupt !== undefined) {
      // Whoever stops an answer does not want the lines sent that he had typed behind it.
      this.#typedAhead.length = 0;
      this.#onInterrupt();
      return;
    }
    const hadText = this.#readline.line !== '';
    this.#readline.write(null, { ctrl: true, name: 'e' });
    this.#readline.write(null, { ctrl: true, name: 'u' });
    this.#output.write('^C\n');
    this.#tell({ kind: 'interrupt', hadText });
  }

  #tell(event: LineEvent): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(event);
  }
}

/** The terminal as readline sees it. Muted, nothing that is typed appears amid an answer. */
class MutableOutput extends Writable {
  isMuted = false;
  readonly #terminal: NodeJS.WriteStream;

  constructor(terminal: NodeJS.WriteStream) {
    super({ decodeStrings: false });
    this.#terminal = terminal;
    terminal.on('resize', () => this.emit('resize'));
  }

  get columns(): number {
    return this.#terminal.columns;
  }

  override _write(chunk: string | Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    if (!this.isMuted) this.#terminal.write(chunk);
    done();
  }
}
