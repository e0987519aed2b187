/** How often Dawn asks the driver for news while something is waited for. Left alone it asks once per turn of the event loop,
 * some 100 times a millisecond, and leaves 2 KB of garbage each time that the collector is slow with: a thread that waits for a
 * GPU then stops for 20 to 70 ms every half second. So the time between two questions grows with the time waited, up to
 * a millisecond: an answer is late by at most that, or a twentieth of what it took.
 *
 * Dawn's Node binding hands its next question to `setImmediate`, which it looks up anew each time. While it does, and only
 * then, another function stands there. Should a later version hold on to the original, it asks as often as before. */

const SHORTEST_MS = 0.05;
const SHARE_OF_WAIT = 0.05;
/** From here on a timer waits; timers are no finer. Shorter pauses are turns of the event loop. */
const LONGEST_MS = 1;

type Question = () => void;

/** Runs what makes Dawn wait: `mapAsync`, `popErrorScope`, `onSubmittedWorkDone`. */
export function askPatiently<T>(ask: () => T, sinceMs = performance.now()): T {
  const original = globalThis.setImmediate;
  // A browser has none, and needs no asking.
  if (original === undefined) return ask();
  const later = (question: Question): unknown => {
    const nowMs = performance.now();
    const pauseMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, SHARE_OF_WAIT * (nowMs - sinceMs)));
    const next = (): void => {
      if (pauseMs < LONGEST_MS && performance.now() - nowMs < pauseMs) original(next);
      else askPatiently(question, sinceMs);
    };
    return pauseMs < LONGEST_MS ? original(next) : setTimeout(next, LONGEST_MS);
  };
  globalThis.setImmediate = later as typeof setImmediate;
  try {
    return ask();
  } finally {
    globalThis.setImmediate = original;
  }
}
