/** Time as something handed in (law 4): bookkeeping never asks the machine what time it is, so a test can say it. */

export interface Clock {
  /** Milliseconds since some fixed moment; never runs backwards. */
  nowMs(): number;
}

export interface TimerClock extends Clock {
  /** Calls `callback` once, `delayMs` from now. The function returned takes the timer back. */
  setTimer(delayMs: number, callback: () => void): () => void;
}

/** The machine's monotonic clock. */
export const systemClock: TimerClock = {
  nowMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
