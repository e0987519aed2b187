/** The line of sequences that wait to be (re)started, and the orders it can keep.
 *
 * An order is total, deterministic and fixed once a sequence has arrived. The scheduler uses the same one to admit, to
 * give out memory and to choose whom to preempt, so the first sequence of the order is never displaced: it makes
 * progress in every step and ends, and then the next is first. That is why nothing starves. */
import { InvalidArgumentError } from '../errors.ts';
import type { Sequence } from './sequence.ts';

/** Negative when `a` comes before `b`. Never 0 for two sequences. */
export type RequestOrder = (a: Sequence, b: Sequence) => number;

/** First come, first served. */
export const fcfsOrder: RequestOrder = (a, b) => a.arrivalIndex - b.arrivalIndex;

/** By priority, lower first, where waiting `ageingMs` milliseconds counts as one level.
 *
 * At time t a sequence stands at level priority - (t - arrivalMs) / ageingMs. As t is the same for all, comparing levels
 * is comparing `arrivalMs + priority * ageingMs`: a moment of arrival moved by the priority. It does not change with
 * time, so the queue stays sorted by itself, and whoever arrives (difference in priority) * ageingMs later than a
 * sequence comes after it, however urgent. */
export function priorityOrder(ageingMs: number): RequestOrder {
  if (!(ageingMs > 0 && ageingMs <= 1e9)) {
    throw new InvalidArgumentError('ageingMs', `must be above 0 and at most 1e9, got ${ageingMs}`);
  }
  const virtualArrivalMs = (sequence: Sequence): number => sequence.arrivalMs + sequence.priority * ageingMs;
  return (a, b) => virtualArrivalMs(a) - virtualArrivalMs(b) || fcfsOrder(a, b);
}

export interface RequestQueue {
  readonly size: number;
  /** Tokens of all sequences in the queue, counted anew at each call. */
  readonly numTokens: number;
  /** The sequence with `index` others before it. */
  at(index: number): Sequence | undefined;
  push(sequence: Sequence): void;
  /** False when it was not in the queue. */
  remove(sequence: Sequence): boolean;
  [Symbol.iterator](): Iterator<Sequence>;
}

/** A sorted array. Binary search finds the place and `splice` moves the rest, which for a bounded queue beats a heap:
 * the scheduler must also take sequences out of the middle and look past the first. */
export class SortedQueue implements RequestQueue {
  readonly #order: RequestOrder;
  readonly #sequences: Sequence[] = [];

  constructor(order: RequestOrder) {
    this.#order = order;
  }

  get size(): number {
    return this.#sequences.length;
  }

  get numTokens(): number {
    let sum = 0;
    for (const sequence of this.#sequences) sum += sequence.numTokens;
    return sum;
  }

  at(index: number): Sequence | undefined {
    return this.#sequences[index];
  }

  push(sequence: Sequence): void {
    this.#sequences.splice(this.#position(sequence), 0, sequence);
  }

  remove(sequence: Sequence): boolean {
    const index = this.#position(sequence);
    if (this.#sequences[index] !== sequence) return false;
    this.#sequences.splice(index, 1);
    return true;
  }

  [Symbol.iterator](): Iterator<Sequence> {
    return this.#sequences[Symbol.iterator]();
  }

  /** Index of the first sequence that does not come before this one. */
  #position(sequence: Sequence): number {
    let low = 0;
    let high = this.#sequences.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#order(this.#sequences[middle]!, sequence) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
