/** Which requests can do with a summary of their rows, and what must be in it.
 *
 *   first filter       a summary is enough when                          it needs
 *   none, greedy       always                                            the best token
 *   top_k              k of the best are tokens that no edit touches     the k best
 *   top_p              the nucleus ends within the best                  some best, the softmax at temperature 1
 *   min_p              the limit lies above the worst of the best        some best
 *   none               nearly always: 29,999 draws of 30,000            the softmax at the request's temperature
 *   any other          never
 *
 * What follows the first filter works on the few tokens that it left, so it may be anything. Edits that change known tokens
 * (bias, penalties, min_tokens) are done on those; a mask may change any token, so it needs the whole row. */
import type { LogitsProcessor } from './logits-processor.ts';
import type { ProcessorChain } from './processor-chain.ts';
import { MinPProcessor } from './processors/min-p.ts';
import { TemperatureProcessor } from './processors/temperature.ts';
import { TopKProcessor } from './processors/top-k.ts';
import { TopPProcessor } from './processors/top-p.ts';
import type { SummaryNeeds, SummarySupport } from './row-summary.ts';
import type { SamplingParams } from './sampling-params.ts';

export type SummaryStrategy = 'greedy' | 'top_k' | 'top_p' | 'min_p' | 'all';

/** The most that is asked for: beyond, finding the best costs the workers more than it spares. */
export const MAX_TOP = 512;

/** How many of the best to look at where the options do not say. */
const TOP_OF: Readonly<Record<SummaryStrategy, number>> = { greedy: 1, top_k: 0, top_p: 128, min_p: 64, all: 0 };
/** Edits may push so many of the best down. */
const NUM_EDITED = 32;

/** `undefined` for requests that need whole rows. */
export function summaryStrategyOf({ edits, filters }: ProcessorChain, isGreedy: boolean): SummaryStrategy | undefined {
  if (!edits.every(({ touchedTokens }) => touchedTokens !== undefined)) return undefined;
  if (isGreedy) return 'greedy';
  const [first] = filters;
  if (first instanceof TopKProcessor) return 'top_k';
  if (first instanceof TopPProcessor) return 'top_p';
  if (first instanceof MinPProcessor) return 'min_p';
  const isPlain =
    first === undefined || (first instanceof TemperatureProcessor && Number.isFinite(1 / first.temperature));
  return isPlain ? 'all' : undefined;
}

/** `undefined` when that cannot be had. */
export function summaryNeedsOf(
  strategy: SummaryStrategy,
  request: { readonly params: SamplingParams; readonly edits: readonly LogitsProcessor[]; readonly vocabSize: number },
  support: SummarySupport,
): SummaryNeeds | undefined {
  const { params, edits, vocabSize } = request;
  const { temperature, topK, topLogprobs, logprobs } = params;
  const numBest = (strategy === 'top_k' ? topK : TOP_OF[strategy]) + (edits.length > 0 ? NUM_EDITED : 0);
  const numTop = Math.min(vocabSize, Math.max(strategy === 'all' ? 0 : numBest, topLogprobs));
  const temperatures = new Set<number>();
  if (strategy === 'top_p' || logprobs) temperatures.add(1);
  if (strategy === 'all') temperatures.add(temperature);
  const readsRow = strategy === 'all' || logprobs || edits.length > 0;
  const isOffered =
    numTop <= Math.min(MAX_TOP, support.maxTop) &&
    (temperatures.size === 0 || support.sums) &&
    (!readsRow || support.rows);
  return isOffered ? { numTop, temperatures: [...temperatures] } : undefined;
}
