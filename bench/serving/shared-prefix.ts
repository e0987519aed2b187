/** Two requests one after the other that begin alike: what does the second save? */
import type { Engine } from '../../engine/engine.ts';
import { Rng } from '../../engine/util/rng.ts';
import { timedRequest } from './timed-request.ts';
import { randomTokens } from './workload.ts';

const PREFIX_TOKENS = 400;
const TAIL_TOKENS = 16;
const NEW_TOKENS = 8;

export interface PrefixSample {
  /** Prompt tokens of the second request that the prefix cache supplied. */
  readonly numCachedTokens: number;
  readonly firstTtftMs: number;
  readonly secondTtftMs: number;
  /** Second to first. */
  readonly ttftRatio: number;
}

/** Tokens that the two prompts share: fewer than 400 where the context is short. */
export function sharedPrefixLength(maxModelLen: number): number {
  return Math.min(PREFIX_TOKENS, maxModelLen - TAIL_TOKENS - NEW_TOKENS);
}

export async function measureSharedPrefix(
  engine: Engine,
  { seed, vocabulary, cacheSalt }: { readonly seed: number; readonly vocabulary: readonly number[]; cacheSalt: string },
): Promise<PrefixSample> {
  const rng = Rng.fromSeed(seed);
  const prefix = randomTokens(rng, vocabulary, sharedPrefixLength(engine.maxModelLen));
  const ask = () => {
    const promptTokenIds = [...prefix, ...randomTokens(rng, vocabulary, TAIL_TOKENS)];
    return timedRequest(engine, { promptTokenIds, numNewTokens: NEW_TOKENS }, { seed, cacheSalt });
  };
  const first = await ask();
  const second = await ask();
  return {
    numCachedTokens: second.numCachedTokens,
    firstTtftMs: first.ttftMs,
    secondTtftMs: second.ttftMs,
    ttftRatio: second.ttftMs / first.ttftMs,
  };
}
