/** Takes places of an array in order of falling key, lower places first among equals, paying only for what is taken:
 * building costs O(n), each place taken O(log n).
 *
 * A binary max-heap (Williams 1964; built bottom-up as in Floyd 1964): no node's children come before it.
 *
 *            heap[0]                 heap[i] is a place; keys[heap[i]] its key
 *           /       \
 *      heap[1]     heap[2]           a comes before b when keys[a] > keys[b],
 *      /    \       /    \           or the keys are equal and a < b
 *  heap[3] heap[4] heap[5] heap[6]
 *
 * Knows keys and places, nothing of tokens. Allocates once. */
export class PlaceHeap {
  readonly #heap: Int32Array;
  #keys: Float64Array = new Float64Array(0);
  #size = 0;

  constructor(capacity: number) {
    this.#heap = new Int32Array(capacity);
  }

  get byteLength(): number {
    return this.#heap.byteLength;
  }

  clear(): void {
    this.#size = 0;
  }

  /** Puts a place in, in no order: `build` follows when all are in. */
  add(place: number): void {
    this.#heap[this.#size] = place;
    this.#size += 1;
  }

  /** `keys` must hold no NaN and stay as it is until the last `take`. */
  build(keys: Float64Array): void {
    this.#keys = keys;
    for (let i = (this.#size >> 1) - 1; i >= 0; i--) this.#siftDown(i);
  }

  /** Removes and returns the first place in order; -1 when there is none. */
  take(): number {
    if (this.#size === 0) return -1;
    const heap = this.#heap;
    const first = heap[0]!;
    this.#size -= 1;
    heap[0] = heap[this.#size]!;
    if (this.#size > 0) this.#siftDown(0);
    return first;
  }

  /** Moves the place at node `start` down until neither child comes before it. */
  #siftDown(start: number): void {
    const heap = this.#heap;
    const keys = this.#keys;
    const size = this.#size;
    const place = heap[start]!;
    const key = keys[place]!;
    let node = start;
    for (;;) {
      let child = 2 * node + 1;
      if (child >= size) break;
      let childPlace = heap[child]!;
      let childKey = keys[childPlace]!;
      if (child + 1 < size) {
        const otherPlace = heap[child + 1]!;
        const otherKey = keys[otherPlace]!;
        if (otherKey > childKey || (otherKey === childKey && otherPlace < childPlace)) {
          child += 1;
          childPlace = otherPlace;
          childKey = otherKey;
        }
      }
      if (childKey < key || (childKey === key && childPlace > place)) break;
      heap[node] = childPlace;
      node = child;
    }
    heap[node] = place;
  }
}
