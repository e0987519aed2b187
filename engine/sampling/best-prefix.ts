/** Finds the shortest best prefix: in order of falling key (lower places first among equals), the fewest places whose
 * weights together reach a target. Top-k is this with weights of 1, top-p with probabilities, typical sampling with
 * probabilities and a key of its own.
 *
 * A vocabulary is not sorted for that. Keys are dealt into buckets, best first; whole buckets are taken as long as the
 * target is not reached, and only the bucket in which it is gets put in order:
 *
 *   key      high ........................................... low
 *   bucket    1     2     3     4     5    ...        NUM_BUCKETS
 *   weight   .31 + .40 + .17 + .08                    target 0.9 falls into bucket 4:
 *             all   all   all   ^ best first, until .02 more    the rest is dropped
 *
 * O(n) unless nearly all keys share one bucket, O(n log n) then. Knows keys and weights, nothing of tokens.
 * Allocates once. */
import { PlaceHeap } from './place-heap.ts';

const NUM_BUCKETS = 4096;
/** Keys further than this below the highest share the last bucket, so that a few very low ones do not spoil the rest.
 * For logits: e^-32 of the likeliest token's probability. */
const KEY_RANGE = 32;
/** Where a chosen place of the last bucket taken is put: before every bucket. */
const CHOSEN = 0;

export class BestPrefix {
  readonly #bucketOf: Uint16Array;
  readonly #bucketWeights = new Float64Array(NUM_BUCKETS + 1);
  readonly #heap: PlaceHeap;
  #lastBucket = 0;

  constructor(capacity: number) {
    this.#bucketOf = new Uint16Array(capacity);
    this.#heap = new PlaceHeap(capacity);
  }

  get byteLength(): number {
    return this.#bucketOf.byteLength + this.#bucketWeights.byteLength + this.#heap.byteLength;
  }

  /** Chooses among places 0 to `size` - 1; at least one if there is one, all if the weights do not reach the target.
   * Shapes  keys, weights [>= size]; no NaN; weights not negative; without `weights` each place weighs 1 */
  select(keys: Float64Array, weights: Float64Array | undefined, size: number, target: number): void {
    this.#deal(keys, weights, size);
    const bucketWeights = this.#bucketWeights;
    let weight = 0;
    let last = 1;
    while (last < NUM_BUCKETS && weight + bucketWeights[last]! < target) {
      weight += bucketWeights[last]!;
      last += 1;
    }
    this.#lastBucket = last;

    const heap = this.#heap;
    const bucketOf = this.#bucketOf;
    heap.clear();
    for (let i = 0; i < size; i++) {
      if (bucketOf[i] === last) heap.add(i);
    }
    heap.build(keys);
    for (let place = heap.take(); place !== -1; place = heap.take()) {
      bucketOf[place] = CHOSEN;
      weight += weights === undefined ? 1 : weights[place]!;
      if (weight >= target) break;
    }
  }

  /** Whether the last `select` chose a place. */
  has(place: number): boolean {
    return this.#bucketOf[place]! < this.#lastBucket;
  }

  /** Deals places into buckets 1 to NUM_BUCKETS, higher keys first, and sums up each bucket's weight. */
  #deal(keys: Float64Array, weights: Float64Array | undefined, size: number): void {
    let high = Number.NEGATIVE_INFINITY;
    let low = Number.POSITIVE_INFINITY;
    for (let i = 0; i < size; i++) {
      const key = keys[i]!;
      if (key > high) high = key;
      if (key < low) low = key;
    }
    const range = Math.min(KEY_RANGE, high - low);
    const scale = range > 0 ? (NUM_BUCKETS - 1) / range : 0;
    const bucketOf = this.#bucketOf;
    const bucketWeights = this.#bucketWeights;
    bucketWeights.fill(0);
    for (let i = 0; i < size; i++) {
      const key = keys[i]!;
      const distance = (high - key) * scale; // grows as the key falls, so buckets never break the order
      const bucket = key === high ? 1 : distance < NUM_BUCKETS - 1 ? 1 + Math.trunc(distance) : NUM_BUCKETS;
      bucketOf[i] = bucket;
      bucketWeights[bucket]! += weights === undefined ? 1 : weights[i]!;
    }
  }
}
