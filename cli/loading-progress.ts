/** Progress of a long task on stderr: a bar on a terminal, nothing in a pipe. */
import { Presets, SingleBar } from 'cli-progress';
import type { LoadProgress } from '../engine/loader/load-weights.ts';

/** Below this a bar would only flicker. */
const MIN_BYTES = 256 * 2 ** 20;

/** A callback for anything that counts bytes. */
export function loadingProgress(title: string): (progress: LoadProgress) => void {
  if (!process.stderr.isTTY) return () => {};
  let bar: SingleBar | undefined;
  return ({ loadedBytes, totalBytes }) => {
    if (totalBytes < MIN_BYTES) return;
    if (bar === undefined) {
      const format = `${title} {bar} {percentage}% of ${(totalBytes / 2 ** 20).toFixed(0)} MiB`;
      bar = new SingleBar(
        { format, stream: process.stderr, clearOnComplete: true, hideCursor: true },
        Presets.shades_grey,
      );
      bar.start(totalBytes, 0);
    }
    bar.update(loadedBytes);
    if (loadedBytes >= totalBytes) bar.stop();
  };
}
