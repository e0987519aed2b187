/** Greedy choice. */

/** Index of the highest of the first `size` values, the lowest index among equals. NaN is passed over.
 * Returns -1 when every value is NaN or -Infinity. */
export function argmax(values: Float32Array | Float64Array, size: number = values.length): number {
  let best = -1;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < size; i++) {
    if (values[i]! > max) {
      max = values[i]!;
      best = i;
    }
  }
  return best;
}
