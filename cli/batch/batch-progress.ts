/** Progress of a batch on stderr: a bar on a terminal, nothing in a pipe. */
import { Presets, SingleBar } from 'cli-progress';

const REFRESH_MS = 250;

export interface BatchProgress {
  answered: number;
  failed: number;
  stop(): void;
}

export interface BatchProgressParts {
  /** Lines of the input; undefined when it is a pipe, whose end nobody knows. */
  readonly total: number | undefined;
  /** Lines that an earlier run has finished. */
  readonly alreadyDone: number;
  readonly numGeneratedTokens: () => number;
}

/** Counts on any stream; shows only on a terminal. */
export function batchProgress({ total, alreadyDone, numGeneratedTokens }: BatchProgressParts): BatchProgress {
  const progress: BatchProgress = { answered: 0, failed: 0, stop: () => {} };
  if (!process.stderr.isTTY) return progress;
  const startMs = performance.now();
  const count = total === undefined ? '{value} lines' : '{bar} {value}/{total} lines';
  const bar = new SingleBar(
    {
      format: `${count} | {rate} tokens/s{failures}`,
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      // Redrawn by the timer below: tokens come while no line ends.
      noTTYOutput: false,
    },
    Presets.shades_grey,
  );
  const payload = (): Record<string, string> => {
    const seconds = (performance.now() - startMs) / 1000;
    return {
      rate: seconds < 0.5 ? '-' : (numGeneratedTokens() / seconds).toFixed(1),
      failures: progress.failed === 0 ? '' : ` | ${progress.failed} failed`,
    };
  };
  bar.start(total ?? 0, alreadyDone, payload());
  const timer = setInterval(() => bar.update(alreadyDone + progress.answered + progress.failed, payload()), REFRESH_MS);
  progress.stop = () => {
    clearInterval(timer);
    bar.stop();
  };
  return progress;
}
