/** How long a step is left alone before anybody asks whether it is done. However patiently Dawn asks (polling.ts), the
 * first 20 ms of a wait are turns of the event loop, and the thread is busy. But a step of as many dispatches and workgroups as
 * an earlier one takes about as long, so most of it can be slept through.
 *
 *   GPU     |=============== step ===============|
 *   host    | submit | sleep ................| ask, ask, ask | result */
import { systemClock, type TimerClock } from '../../util/clock.ts';

/** Of the time that a step should take, how much is slept through: steps differ, and timers are late by up to a
 * millisecond. */
const SHARE = 0.8;

/** A program that was stopped for a while learns a wrong time; it must not wait for that. */
const LONGEST_MS = 500;

/** As soon as this, the answer was there before anybody asked, and the sleep may have been too long. */
const AT_ONCE_MS = 0.2;

export class WaitTime {
  readonly #clock: TimerClock;
  #submittedMs = 0;
  #askedMs = 0;
  /** Of the last two steps. One that took long for once does not count. */
  #tookMs: readonly [number, number] = [0, 0];
  /** Several results may be waited for; the first says how long it took. */
  #isOpen = false;

  constructor(clock: TimerClock) {
    this.#clock = clock;
  }

  submitted(): void {
    this.#submittedMs = this.#clock.nowMs();
    this.#isOpen = true;
  }

  /** Resolves some time before the step should be done. */
  async sleep(): Promise<void> {
    const untilMs = this.#submittedMs + Math.min(LONGEST_MS, SHARE * Math.min(...this.#tookMs));
    const ms = Math.floor(untilMs - this.#clock.nowMs());
    if (ms >= 1) await new Promise<void>((resolve) => void this.#clock.setTimer(ms, resolve));
    this.#askedMs = this.#clock.nowMs();
  }

  /** To be called when a result is there. */
  done(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const now = this.#clock.nowMs();
    const isLate = now - this.#askedMs < AT_ONCE_MS;
    this.#tookMs = [this.#tookMs[1], (isLate ? SHARE : 1) * (now - this.#submittedMs)];
  }
}

/** More than there are sizes of steps in a while; beyond, all are forgotten. */
const MAX_SIZES = 256;

/** By the size of what was submitted. */
export class WaitTimes {
  readonly #clock: TimerClock;
  readonly #bySize = new Map<string, WaitTime>();

  constructor(clock = systemClock) {
    this.#clock = clock;
  }

  of(numDispatches: number, numWorkgroups: number): WaitTime {
    const size = `${numDispatches} ${numWorkgroups}`;
    let waitTime = this.#bySize.get(size);
    if (waitTime === undefined) {
      if (this.#bySize.size >= MAX_SIZES) this.#bySize.clear();
      waitTime = new WaitTime(this.#clock);
      this.#bySize.set(size, waitTime);
    }
    return waitTime;
  }
}
