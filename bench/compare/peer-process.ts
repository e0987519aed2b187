/** The parent's side of an engine in a process of its own. A process each, so that threads, memory and garbage
 * collection of one are not measured with the other. */
import { type ChildProcess, fork } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchTest } from '../../cli/bench/bench-test.ts';
import type { PeerAnswer, PeerCall, PeerFacts, PeerOptions } from './peer.ts';

export class PeerProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  /** Rejects when the process ends. */
  readonly #ended: Promise<never>;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    this.#ended = new Promise((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`${name} ended with ${signal ?? `code ${code}`}`)));
    });
    this.#ended.catch(() => {});
  }

  /** @param script  file in this folder
   * @returns the process, ready to load, and the time until then, Node and imports included
   * Errors  Error when it ends before that */
  static async start(
    name: string,
    script: string,
    args: readonly string[] = [],
  ): Promise<{ readonly peer: PeerProcess; readonly startMs: number }> {
    const startMs = performance.now();
    const path = fileURLToPath(new URL(script, import.meta.url));
    // A package holds JavaScript; the types of a checkout's sources would be taken out anew at every start.
    const env = { NODE_COMPILE_CACHE: join(tmpdir(), 'quern-compare-compile-cache'), ...process.env };
    const peer = new PeerProcess(name, fork(path, args, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }));
    await peer.#answer();
    return { peer, startMs: performance.now() - startMs };
  }

  load(options: PeerOptions): Promise<PeerFacts> {
    return this.#call({ call: 'load', options }) as Promise<PeerFacts>;
  }

  async prepare(test: BenchTest): Promise<void> {
    await this.#call({ call: 'prepare', test });
  }

  measure(test: BenchTest, repetition: number): Promise<number> {
    return this.#call({ call: 'measure', test, repetition }) as Promise<number>;
  }

  /** The most memory that was resident at a time, in bytes, pages of mapped files included. */
  peakRss(): Promise<number> {
    return this.#call({ call: 'peakRss' }) as Promise<number>;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }

  #call(call: PeerCall): Promise<unknown> {
    this.#child.send(call);
    return this.#answer();
  }

  async #answer(): Promise<unknown> {
    let onMessage: ((answer: PeerAnswer) => void) | undefined;
    const answered = new Promise<PeerAnswer>((resolve) => {
      onMessage = resolve;
      this.#child.once('message', onMessage);
    });
    const answer = await Promise.race([answered, this.#ended]).finally(() => this.#child.off('message', onMessage!));
    if ('error' in answer) throw new Error(`${this.name}: ${answer.error}`);
    return answer.value;
  }
}
