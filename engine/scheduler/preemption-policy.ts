/** Who gives up their blocks when the pool is full. The victim computes its tokens again later (often from blocks that
 * are still cached), which costs time and never changes its output. */
import type { RequestQueue } from './request-queue.ts';
import type { Sequence } from './sequence.ts';

export interface PreemptionPolicy {
  /** One of the running sequences, of which there is at least one. It may be the one that needs the memory. */
  chooseVictim(running: RequestQueue): Sequence;
}

/** The last in the order: the lowest priority, and the newest of equals. The only choice with which progress is proven
 * (see request-queue.ts); others risk two sequences that displace each other in turn. */
export const preemptLast: PreemptionPolicy = {
  chooseVictim: (running) => running.at(running.size - 1)!,
};
