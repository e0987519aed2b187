/** Scores windows of a text with several of them in the engine, and adds them up in the order of the text. */
import type { Engine } from '../../engine/engine.ts';
import { NonFiniteLogitsError } from '../../engine/errors.ts';
import { RunningPerplexity } from './running-perplexity.ts';
import type { TokenWindow } from './token-windows.ts';

export interface ScoreWindowsParts {
  readonly engine: Pick<Engine, 'score'>;
  readonly windows: AsyncIterable<TokenWindow>;
  readonly maxWindows: number;
  /** Windows with the engine at a time. */
  readonly maxInFlight: number;
  readonly signal: AbortSignal;
  readonly onWindow: (sums: RunningPerplexity, numWindows: number) => void;
}

/** @returns sums over all windows, and their number
 * @throws NonFiniteLogitsError when a log-probability is NaN; what `engine.score` throws */
export async function scoreWindows(
  parts: ScoreWindowsParts,
): Promise<{ readonly sums: RunningPerplexity; readonly numWindows: number }> {
  const { engine, windows, maxWindows, maxInFlight, signal, onWindow } = parts;
  const sums = new RunningPerplexity();
  const inFlight: Promise<readonly number[]>[] = [];
  let numStarted = 0;
  let numWindows = 0;
  const addOldest = async (): Promise<void> => {
    sums.add(await inFlight[0]!);
    inFlight.shift();
    onWindow(sums, ++numWindows);
  };
  for await (const window of windows) {
    if (inFlight.length === maxInFlight) await addOldest();
    const scored = scoreWindow(engine, window, signal);
    // Whether it failed is looked at when its turn comes.
    scored.catch(() => {});
    inFlight.push(scored);
    if (++numStarted === maxWindows) break;
  }
  while (inFlight.length > 0) await addOldest();
  return { sums, numWindows };
}

async function scoreWindow(
  engine: Pick<Engine, 'score'>,
  { tokenIds, firstCounted }: TokenWindow,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const { logprobs } = await engine.score(tokenIds, { signal });
  const counted = logprobs.slice(firstCounted - 1);
  const bad = counted.findIndex(Number.isNaN);
  if (bad >= 0) throw new NonFiniteLogitsError(`the model gives NaN for token ${firstCounted + bad} of a window`);
  return counted;
}
