/** A meeting point for threads that run the same program over shared memory: nobody passes until all have arrived.
 *
 *   state  [ arrived | generation | poisoned ]   Int32, shared
 *
 * The last to arrive starts the next generation; the others watch that word. They first look at it again and again,
 * because an op's parts end within microseconds of each other, and sleep only when it takes longer (Mellor-Crummey &
 * Scott 1991, "Algorithms for Scalable Synchronization", section 3: a centralized barrier, with generations in place of
 * sense reversal).
 *
 * When a thread dies the others would wait for ever. Whoever notices poisons the barrier, and every wait, present and
 * future, throws. */
import type { Gate } from '../kernels/part.ts';

const ARRIVED = 0;
const GENERATION = 1;
const POISONED = 2;
const NUM_WORDS = 3;

/** Looks at the word before sleeping: some 10 µs. More would steal time from threads without a core of their own. */
const MAX_SPINS = 1000;

export class BarrierPoisonedError extends Error {
  constructor() {
    super('another thread of the step failed');
    this.name = 'BarrierPoisonedError';
  }
}

export class Barrier implements Gate {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #numThreads: number;

  /** @param buffer  from another thread's barrier, to meet with it */
  constructor(numThreads: number, buffer = new SharedArrayBuffer(NUM_WORDS * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#numThreads = numThreads;
  }

  get generation(): number {
    return Atomics.load(this.#words, GENERATION);
  }

  /** Returns when all threads have called it.
   * @throws BarrierPoisonedError */
  wait(): void {
    const words = this.#words;
    const generation = Atomics.load(words, GENERATION);
    if (Atomics.load(words, POISONED) !== 0) throw new BarrierPoisonedError();
    if (Atomics.add(words, ARRIVED, 1) + 1 === this.#numThreads) {
      Atomics.store(words, ARRIVED, 0);
      Atomics.add(words, GENERATION, 1);
      Atomics.notify(words, GENERATION);
      return;
    }
    for (let spin = 0; spin < MAX_SPINS; spin++) {
      if (Atomics.load(words, GENERATION) !== generation) break;
    }
    while (Atomics.load(words, GENERATION) === generation) Atomics.wait(words, GENERATION, generation);
    if (Atomics.load(words, POISONED) !== 0) throw new BarrierPoisonedError();
  }

  /** Frees everyone who waits, with an error. */
  poison(): void {
    Atomics.store(this.#words, POISONED, 1);
    Atomics.add(this.#words, GENERATION, 1);
    Atomics.notify(this.#words, GENERATION);
  }

  /** Makes the barrier usable again. Only when no thread is inside. */
  reset(): void {
    Atomics.store(this.#words, ARRIVED, 0);
    Atomics.store(this.#words, POISONED, 0);
  }
}
