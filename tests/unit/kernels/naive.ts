/** Oracles: each op's formula written once more, from the papers and without a look at the reference ops, on plain
 * arrays. Slow on purpose. */
import { NAIVE_TOLERANCE } from '../../helpers/tolerances.ts';

/** Undefined when all values agree to `NAIVE_TOLERANCE`. */
export function findFarValue(
  actual: ArrayLike<number>,
  expected: readonly number[],
  tolerance: number = NAIVE_TOLERANCE,
): string | undefined {
  if (actual.length !== expected.length) return `${expected.length} values expected, got ${actual.length}`;
  for (const [i, value] of expected.entries()) {
    const allowed = tolerance * Math.max(1, Math.abs(value));
    // Written so that NaN is far from everything.
    if (!(Math.abs(actual[i]! - value) <= allowed)) return `[${i}] is ${actual[i]}, expected ${value}`;
  }
  return undefined;
}

/** Rows of a flat array. */
export function rowsOf(values: Float32Array, rowLength: number): number[][] {
  return Array.from({ length: values.length / rowLength }, (_, r) =>
    Array.from(values.subarray(r * rowLength, (r + 1) * rowLength)),
  );
}

export const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0);

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Dense causal attention of one head. Query row i stands at position keys.length - queries.length + i. */
export function attention(
  { queries, keys, values }: { queries: number[][]; keys: number[][]; values: number[][] },
  options: { scale: number; window?: number | undefined; softCap?: number | undefined },
): number[][] {
  const { scale, window, softCap } = options;
  return queries.map((query, i) => {
    const position = keys.length - queries.length + i;
    const seen = keys.map((_, j) => j).filter((j) => j <= position && (window === undefined || position - j < window));
    const scores = seen.map((j) => {
      const score = dot(query, keys[j]!) * scale;
      return softCap === undefined ? score : softCap * Math.tanh(score / softCap);
    });
    // Softmax as 1 / sum of e^(other - own): no maximum needed, overflow only makes a weight 0.
    const weights = scores.map((own) => 1 / scores.reduce((sum, other) => sum + Math.exp(other - own), 0));
    return values[0]!.map((_, d) => seen.reduce((sum, j, n) => sum + weights[n]! * values[j]![d]!, 0));
  });
}
