/** Where the calling thread puts up the next step, for threads that have just done one and look out for it: to ask a pool for
 * its threads and to hear from them costs several times what waking them does.
 *
 *   words   [ notice | finished | length | seat 0 | done 0 | seat 1 | done 1 | ... ]   Int32, shared
 *   text    the size of the step that is up, as JSON
 *
 *   notice    even: the number of the step that is up; odd: none is, and none will be soon
 *   finished  the number of the last step that is done, or one more when it was given up
 *   length    of the text, in bytes
 *   seat p    whether somebody sees to part p of what is put up
 *   done p    the last step of which part p was done; whoever has the seat writes it
 *
 * A thread that sees nothing new for a while leaves its seat, and the caller sends for a thread where it finds one empty. It
 * may put up a step in that very moment: then both see it, and whoever claims the seat first has it. If the thread is slow, what it
 * sees may have been done by another that sat there meanwhile. */

import { InvalidArgumentError } from '../errors.ts';

const [NOTICE, FINISHED, LENGTH, SEATS] = [0, 1, 2, 3];
const [EMPTY, TAKEN] = [0, 1];
const seatOf = (part: number): number => SEATS + 2 * part;
const doneOf = (part: number): number => SEATS + 2 * part + 1;
/** Temperatures of tens of thousands of rows. Pages cost memory only once they are written to. */
const TEXT_BYTES = 1024 * 1024;

const isStep = (notice: number): boolean => (notice & 1) === 0;
/** They are counted in 32 bits. */
const isBefore = (notice: number, other: number): boolean => ((notice - other) | 0) < 0;

export class StepBoard {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #text: Buffer;

  /** @param buffer  from the calling thread's board */
  constructor(numThreads: number, buffer?: SharedArrayBuffer) {
    const wordBytes = seatOf(numThreads) * 4;
    this.buffer = buffer ?? new SharedArrayBuffer(wordBytes + TEXT_BYTES);
    this.#words = new Int32Array(this.buffer, 0, wordBytes / 4);
    if (buffer === undefined) this.#words[NOTICE] = 1;
    this.#text = Buffer.from(this.buffer as unknown as ArrayBuffer, wordBytes);
  }

  // On the calling thread:

  /** Puts up a step; the last one must be over. Whoever sits sees it; for other seats, `claim` them and send threads.
   * @param size  ASCII
   * @returns when the step is done, or given up */
  putUp(size: string): Promise<void> {
    const words = this.#words;
    if (size.length > this.#text.length) {
      throw new InvalidArgumentError(
        'step',
        `its size takes ${size.length} bytes; there is room for ${this.#text.length}`,
      );
    }
    const last = Atomics.load(words, NOTICE);
    const notice = last + (isStep(last) ? 2 : 1);
    words[LENGTH] = this.#text.write(size, 'latin1');
    Atomics.store(words, NOTICE, notice);
    Atomics.notify(words, NOTICE);
    return this.#finishOf(notice);
  }

  /** The thread that finished the step before may be so slow to wake us that it wakes us from waiting for this one. */
  async #finishOf(notice: number): Promise<void> {
    const words = this.#words;
    for (let seen = Atomics.load(words, FINISHED); isBefore(seen, notice); seen = Atomics.load(words, FINISHED)) {
      await Atomics.waitAsync(words, FINISHED, seen).value;
    }
  }

  /** Takes down what is up, or was, so that nobody sits and waits any longer. */
  takeDown(): void {
    const words = this.#words;
    const notice = Atomics.load(words, NOTICE);
    if (!isStep(notice)) return;
    Atomics.store(words, NOTICE, notice + 1);
    Atomics.notify(words, NOTICE);
  }

  /** Ends the waiting for a step that nobody will finish. */
  giveUp(): void {
    this.takeDown();
    this.#finish(Atomics.load(this.#words, NOTICE));
  }

  /** Who sat there is gone. */
  vacate(part: number): void {
    Atomics.store(this.#words, seatOf(part), EMPTY);
  }

  // On both sides:

  /** Whether the seat was empty. It is the caller's of this then. */
  claim(part: number): boolean {
    return Atomics.compareExchange(this.#words, seatOf(part), EMPTY, TAKEN) === EMPTY;
  }

  // On a thread:

  /** Does a part of the step that is up, and of those that follow it within `patienceMs` of one another. All threads must have
   * done theirs when `run` returns for part 0. The seat must have been claimed; it is left in the end.
   * @param run  throws: the seat stays taken */
  follow(part: number, patienceMs: number, run: (size: string) => void): void {
    const words = this.#words;
    for (;;) {
      const notice = Atomics.load(words, NOTICE);
      if (this.#isWanted(part, notice)) {
        run(this.#text.toString('latin1', 0, words[LENGTH]));
        Atomics.store(words, doneOf(part), notice);
        if (part === 0) this.#finish(notice);
        if (patienceMs > 0) Atomics.wait(words, NOTICE, notice, patienceMs);
      } else {
        this.vacate(part);
        // Was a step put up just now?
        if (!this.#isWanted(part, Atomics.load(words, NOTICE)) || !this.claim(part)) return;
      }
    }
  }

  /** Whether it is a step of which the part is not done. Sure for whoever has the seat. */
  #isWanted(part: number, notice: number): boolean {
    return isStep(notice) && notice !== Atomics.load(this.#words, doneOf(part));
  }

  #finish(notice: number): void {
    Atomics.store(this.#words, FINISHED, notice);
    Atomics.notify(this.#words, FINISHED);
  }
}
