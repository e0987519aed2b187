/** Decides whether a backend's values are close enough to the reference's. */

/** Undefined when every value is close enough, otherwise a sentence about the worst one.
 * @param tolerance  largest |actual - expected| / rms(expected); 0 asks for equal values
 * @param magnitude  what to divide by where it is more than rms(expected): the size that values of this kind usually
 *   have, for few values that may all happen to be near 0
 *
 * NaN and infinities must match exactly; 0 and -0 are the same. */
export function findMismatch(
  actual: Float32Array,
  expected: Float32Array,
  tolerance: number,
  magnitude = 0,
): string | undefined {
  if (actual.length !== expected.length) return `${expected.length} values expected, got ${actual.length}`;
  const allowed = tolerance * Math.max(rms(expected), magnitude);
  let worst = -1;
  let worstError = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = differenceOf(actual[i]!, expected[i]!);
    if (error > allowed && error > worstError) {
      worst = i;
      worstError = error;
    }
  }
  if (worst === -1) return undefined;
  return `[${worst}] is ${actual[worst]}, expected ${expected[worst]} within ${allowed}`;
}

/** Undefined when all bits are equal. */
export function findBitDifference(actual: Float32Array, expected: Float32Array): string | undefined {
  if (actual.length !== expected.length) return `${expected.length} values expected, got ${actual.length}`;
  for (let i = 0; i < expected.length; i++) {
    if (!Object.is(actual[i], expected[i])) return `[${i}] is ${actual[i]}, expected exactly ${expected[i]}`;
  }
  return undefined;
}

function differenceOf(actual: number, expected: number): number {
  if (actual === expected || (Number.isNaN(actual) && Number.isNaN(expected))) return 0;
  const difference = Math.abs(actual - expected);
  return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
}

/** Root mean square of the finite values. */
function rms(values: Float32Array): number {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    sum += value * value;
    count++;
  }
  return count === 0 ? 0 : Math.sqrt(sum / count);
}
