/** Plain answers to compare the processors with: sort everything, add up everything. */
import fc from 'fast-check';
import { Candidates } from '../../../engine/sampling/candidates.ts';
import type { ProcessorContext } from '../../../engine/sampling/logits-processor.ts';
import { Rng } from '../../../engine/util/rng.ts';

/** Rows as models and mischief make them: ordinary, with many ties, far apart, partly banned. */
export const logitRows: fc.Arbitrary<number[]> = fc.oneof(
  fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 60 }),
  fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 1, maxLength: 60 }),
  fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 20 }),
  fc
    .array(fc.oneof(fc.constant(Number.NEGATIVE_INFINITY), fc.double({ min: -5, max: 5, noNaN: true })), {
      minLength: 1,
      maxLength: 30,
    })
    .filter((row) => row.some(Number.isFinite)),
);

/** The same as a model gives them. (A double may become -Infinity as a float: such rows offer nothing to choose.) */
export const floatRows: fc.Arbitrary<Float32Array> = logitRows
  .map((row) => Float32Array.from(row))
  .filter((row) => row.some((logit) => logit > Number.NEGATIVE_INFINITY));

export function candidatesOf(logits: readonly number[]): Candidates {
  const candidates = new Candidates(logits.length);
  candidates.load(Float64Array.from(logits));
  return candidates;
}

export function idsOf(candidates: Candidates): number[] {
  return [...candidates.ids.subarray(0, candidates.size)];
}

export function naiveSoftmax(logits: readonly number[]): number[] {
  const max = Math.max(...logits);
  const weights = logits.map((logit) => (logit === max ? 1 : Math.exp(logit - max)));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** Ids by falling key, lower ids first among equals. */
export function naiveOrder(keys: readonly number[]): number[] {
  return keys.map((_, id) => id).sort((a, b) => (keys[a] === keys[b] ? a - b : keys[a]! > keys[b]! ? -1 : 1));
}

export function contextOf(generated: readonly number[] = [], prompt: readonly number[] = []): ProcessorContext {
  const tokenIds = [...prompt, ...generated];
  return {
    history: { tokenIds, numTokens: tokenIds.length, numPromptTokens: prompt.length },
    rng: Rng.fromSeed(1),
  };
}
