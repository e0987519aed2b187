/** A meeting point for threads that run the same program over shared memory: nobody passes until all have arrived.
 *
 *   state  [ arrived | generation | poisoned | sleeping ]   Int32, shared
 *
 * The last to arrive starts the next generation; the others watch that word (Mellor-Crummey & Scott 1991, "Algorithms for
 * Scalable Synchronization", section 3: a centralized barrier, with generations in place of sense reversal). They first
 * look at it again and again, as an op's parts end within microseconds of each other and a sleeper takes tens of
 * microseconds to wake, and sleep only when it takes longer than that.
 *
 * Unless a core is missing, because there are more threads than cores or another process has one: then each look takes
 * time away from the thread that all wait for, and the others go to sleep almost at once. Nobody tells which it is, so a
 * thread goes by what its last patient waits came to, and is patient again now and then. Patience must be longer than it
 * takes to wake up: a thread that has just been woken is late itself, and would send the next one to sleep in turn. (Karlin
 * et al. 1991, "Empirical Studies of Competitive Spinning": waiting as long as sleeping would cost is at most twice the best.)
 *
 * When a thread dies the others would wait for ever. Whoever notices poisons the barrier, and every wait, present and
 * future, throws. */
import type { Gate } from '../kernels/part.ts';
import { availableThreads } from '../util/cpu-quota.ts';

const ARRIVED = 0;
const GENERATION = 1;
const POISONED = 2;
const SLEEPING = 3;
const NUM_WORDS = 4;

/** Looks before sleeping, at one to two nanoseconds each: some 150 us, where waking up was seen to take 30 to 60. */
const PATIENT_LOOKS = 100_000;
const HASTY_LOOKS = 500;
/** After so many patient waits in vain, one after the other, a thread is hasty for so many waits. */
const MAX_FAILURES = 3;
const HASTY_WAITS = 200;

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
  /** Whether there can be a core for each thread. */
  readonly #hasCores: boolean;
  #numFailures = 0;
  #hastyWaits = 0;

  /** @param buffer  from another thread's barrier, to meet with it */
  constructor(numThreads: number, buffer = new SharedArrayBuffer(NUM_WORDS * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#numThreads = numThreads;
    this.#hasCores = numThreads <= availableThreads();
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
      // Whoever is not counted yet looks at the generation again before it sleeps.
      if (Atomics.load(words, SLEEPING) > 0) Atomics.notify(words, GENERATION);
      return;
    }
    if (!this.#watch(generation)) this.#sleep(generation);
    if (Atomics.load(words, POISONED) !== 0) throw new BarrierPoisonedError();
  }

  /** Whether the next generation has come before patience was at its end. */
  #watch(generation: number): boolean {
    const words = this.#words;
    const isPatient = this.#hasCores && this.#hastyWaits === 0;
    const numLooks = isPatient ? PATIENT_LOOKS : HASTY_LOOKS;
    if (this.#hastyWaits > 0) this.#hastyWaits--;
    for (let look = 0; look < numLooks; look++) {
      if (Atomics.load(words, GENERATION) === generation) continue;
      if (isPatient) this.#numFailures = 0;
      return true;
    }
    // After a hasty time one failure is enough to begin the next.
    if (isPatient && ++this.#numFailures >= MAX_FAILURES) this.#hastyWaits = HASTY_WAITS;
    return false;
  }

  #sleep(generation: number): void {
    const words = this.#words;
    Atomics.add(words, SLEEPING, 1);
    while (Atomics.load(words, GENERATION) === generation) Atomics.wait(words, GENERATION, generation);
    Atomics.sub(words, SLEEPING, 1);
  }

  /** Frees everyone who waits, with an error. */
  poison(): void {
    Atomics.store(this.#words, POISONED, 1);
    Atomics.add(this.#words, GENERATION, 1);
    Atomics.notify(this.#words, GENERATION);
  }

  /** Makes the barrier usable again. Only when no thread waits for others; one that is slow to leave a meeting of all may still
   * be inside. Who sleeps stays counted, as that one would count itself out. (One that died in its sleep stays so, too: whoever
   * is the last to arrive then wakes nobody in vain.) */
  reset(): void {
    Atomics.store(this.#words, ARRIVED, 0);
    Atomics.store(this.#words, POISONED, 0);
  }
}
