/** The requests that the serving benchmark makes: prompts of mixed lengths, some of which begin alike, as those of a
 * service do. The same seed gives the same requests. Knows no engine. */
import { Rng } from '../../engine/util/rng.ts';

export interface WorkloadRequest {
  readonly promptTokenIds: readonly number[];
  readonly numNewTokens: number;
}

export interface WorkloadOptions {
  readonly seed: number;
  readonly numRequests: number;
  /** Tokens that prompts are made of. */
  readonly vocabulary: readonly number[];
  /** Positions a sequence may reach. */
  readonly maxModelLen: number;
}

/** Prompts of 16 to 256 tokens, evenly over the logarithm, and 16 to 48 tokens to generate. */
const PROMPT_TOKENS = { min: 16, max: 256 };
const NEW_TOKENS = { min: 16, max: 48 };
/** Half of the prompts begin with one of four beginnings of 64 tokens, like system prompts. */
const NUM_SHARED_PREFIXES = 4;
const SHARED_PREFIX_TOKENS = 64;
const SHARED_PREFIX_RATE = 0.5;

export function mixedWorkload({ seed, numRequests, vocabulary, maxModelLen }: WorkloadOptions): WorkloadRequest[] {
  const rng = Rng.fromSeed(seed);
  const longest = Math.min(PROMPT_TOKENS.max, maxModelLen - NEW_TOKENS.max);
  const prefixes = Array.from({ length: NUM_SHARED_PREFIXES }, () =>
    randomTokens(rng, vocabulary, SHARED_PREFIX_TOKENS),
  );
  return Array.from({ length: numRequests }, () => {
    const length = Math.round(PROMPT_TOKENS.min * (longest / PROMPT_TOKENS.min) ** rng.nextFloat());
    const prefix = rng.nextFloat() < SHARED_PREFIX_RATE ? prefixes[rng.nextUint32() % NUM_SHARED_PREFIXES]! : [];
    const shared = prefix.slice(0, length - 1);
    return {
      promptTokenIds: [...shared, ...randomTokens(rng, vocabulary, length - shared.length)],
      numNewTokens: NEW_TOKENS.min + (rng.nextUint32() % (NEW_TOKENS.max - NEW_TOKENS.min + 1)),
    };
  });
}

export function randomTokens(rng: Rng, vocabulary: readonly number[], count: number): number[] {
  return Array.from({ length: count }, () => vocabulary[rng.nextUint32() % vocabulary.length]!);
}

/** When requests arrive that know nothing of each other: a Poisson process, so gaps are exponentially distributed.
 * @returns ms from the start, ascending */
export function poissonArrivals(seed: number, numRequests: number, requestsPerSecond: number): number[] {
  const rng = Rng.fromSeed(seed, 1);
  let atMs = 0;
  return Array.from({ length: numRequests }, () => {
    atMs += (-Math.log(1 - rng.nextFloat()) / requestsPerSecond) * 1000;
    return atMs;
  });
}
