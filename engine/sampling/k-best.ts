/** The places of the k highest keys, lower places first among equals, in one pass over a vocabulary.
 *
 * A binary heap holds the k best so far with the worst of them on top; nearly every key is only compared with that one.
 * Random keys replace it k * ln(n / k) times: 300 of 128,000 for k = 40. O(n) then, O(n log k) for rising keys.
 *
 *   keys  2.5  -1.0  0.3  7.1  4.0      k = 2:   heap [4.0, 7.1]    6.0 replaces 4.0, 4.0 would not replace itself
 *
 * Knows keys and places, nothing of tokens. */

/** Fills the start of `places` and returns how many there are: k, or fewer when there are not as many keys. They are
 * ascending. NaN counts as -Infinity.
 * Shapes  keys [>= size]; places [>= k] */
export function kBest(keys: Float32Array | Float64Array, size: number, k: number, places: Int32Array): number {
  const count = Math.min(k, size);
  if (count < 1) return 0;
  for (let place = 0; place < count; place++) places[place] = place;
  for (let node = (count >> 1) - 1; node >= 0; node--) siftDown(keys, places, node, count);
  let worst = orLowest(keys[places[0]!]!);
  for (let place = count; place < size; place++) {
    // A later place loses among equals, and NaN compares as false.
    if (!(keys[place]! > worst)) continue;
    places[0] = place;
    siftDown(keys, places, 0, count);
    worst = orLowest(keys[places[0]!]!);
  }
  places.subarray(0, count).sort();
  return count;
}

/** Moves the place at node `start` down until neither child is worse: of a lower key, or of an equal one and later. */
function siftDown(keys: Float32Array | Float64Array, heap: Int32Array, start: number, size: number): void {
  const place = heap[start]!;
  const key = orLowest(keys[place]!);
  let node = start;
  for (;;) {
    let child = 2 * node + 1;
    if (child >= size) break;
    let childKey = orLowest(keys[heap[child]!]!);
    if (child + 1 < size) {
      const otherKey = orLowest(keys[heap[child + 1]!]!);
      if (otherKey < childKey || (otherKey === childKey && heap[child + 1]! > heap[child]!)) {
        child += 1;
        childKey = otherKey;
      }
    }
    if (childKey > key || (childKey === key && heap[child]! < place)) break;
    heap[node] = heap[child]!;
    node = child;
  }
  heap[node] = place;
}

function orLowest(key: number): number {
  return Number.isNaN(key) ? Number.NEGATIVE_INFINITY : key;
}
