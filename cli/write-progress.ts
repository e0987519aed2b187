/** A bar on stderr while a file is written. */
import type { LoadProgress } from '../engine/loader/load-weights.ts';
import { loadingProgress } from './loading-progress.ts';

/** Takes the bar away however `write` ends: one that is left would keep the process alive. */
export async function withProgress<T>(
  title: string,
  write: (onProgress: (progress: LoadProgress) => void) => Promise<T>,
): Promise<T> {
  const show = loadingProgress(title);
  let totalBytes = 0;
  try {
    return await write((progress) => {
      totalBytes = progress.totalBytes;
      show(progress);
    });
  } finally {
    show({ loadedBytes: totalBytes, totalBytes });
  }
}
