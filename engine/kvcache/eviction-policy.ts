/** Which free block gives up its cached content when a block is needed. */
import type { FreeBlockQueue } from './free-block-queue.ts';

export interface EvictionPolicy {
  /** One block of a list that is not empty. Every choice is correct; a good one keeps what will be asked for again. */
  chooseVictim(freeBlocks: FreeBlockQueue): number;
}

/** Least recently used. The pool keeps the list in that order: blocks without cached content in front, then cached ones
 * from the longest unused to the latest; and as sequences free their blocks from the last to the first, the tail of a
 * prompt goes before its head, which more requests share. */
export const lruEviction: EvictionPolicy = {
  chooseVictim: (freeBlocks) => freeBlocks.first!,
};
