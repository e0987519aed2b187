/** Which free block gives up its cached content when a block is needed. */
import type { FreeBlockQueue } from './free-block-queue.ts';

/** What a policy may want to know of the free blocks and of who asks. */
export interface BlockWish {
  /** The block before it in the sequence's table, if any. */
  readonly after?: number | undefined;
  /** Whether a block has content that a prefix hit could use. */
  isCached(blockId: number): boolean;
}

export interface EvictionPolicy {
  /** One block of a list that is not empty. Every choice is correct; a good one keeps what will be asked for again. */
  chooseVictim(freeBlocks: FreeBlockQueue, wish: BlockWish): number;
}

/** Least recently used. The pool keeps the list in that order: blocks without cached content in front, then cached ones
 * from the longest unused to the latest; and as sequences free their blocks from the last to the first, the tail of a
 * prompt goes before its head, which more requests share. */
export const lruEviction: EvictionPolicy = {
  chooseVictim: (freeBlocks) => freeBlocks.first!,
};

/** Blocks in a row that a sequence takes where it can: 256 tokens of the default size. They begin at multiples of it. */
const RUN_BLOCKS = 16;
/** In a smaller pool a run is too large a part of what is cached. */
const MIN_CAPACITY = 16 * RUN_BLOCKS;
/** Of the free blocks: those that may go before others that were used less recently. */
const WINDOW_SHARE = 1 / 2;
/** Blocks of the list that are looked at for the start of a run. */
const MAX_LOOKED_AT = 256;

/** Least recently used, or nearly, so that a sequence's blocks follow one another: CPUs read a long past faster in long
 * runs, page after page, than in pages strewn about, by up to half of the time. (Freed from the last to the first and reused
 * in that order, they would even come backwards.) Of a prompt that is cached the tail still goes before the head, a run at a
 * time.
 *
 *   block      16 17 18 19 | ... 31 | 32 33 ...          a sequence at 16, 17 goes on with 18;
 *   owner       A  A  -  -     -    |  B  -              another begins at the next run of which nothing is used */
export const lruInRuns: EvictionPolicy = {
  chooseVictim(freeBlocks, { after, isCached }) {
    const first = freeBlocks.first!;
    if (freeBlocks.capacity < MIN_CAPACITY) return first;
    const latest = freeBlocks.stampOf(first) + freeBlocks.size * WINDOW_SHARE;
    const isCheap = (id: number): boolean => freeBlocks.has(id) && (!isCached(id) || freeBlocks.stampOf(id) <= latest);
    if (after !== undefined && (after + 1) % RUN_BLOCKS !== 0 && isCheap(after + 1)) return after + 1;
    return startOfRun(freeBlocks, isCheap) ?? startOfStretch(first, isCheap);
  },
};

/** The first block of a whole run. */
function startOfRun(freeBlocks: FreeBlockQueue, isCheap: (id: number) => boolean): number | undefined {
  let [numLookedAt, lastStart] = [0, -1];
  for (const id of freeBlocks) {
    if (numLookedAt++ === MAX_LOOKED_AT || !isCheap(id)) return undefined;
    const start = id - (id % RUN_BLOCKS);
    if (start === lastStart) continue;
    lastStart = start;
    const isRun = Array.from({ length: RUN_BLOCKS }, (_, i) => start + i).every(isCheap);
    if (isRun) return start;
  }
  return undefined;
}

/** Where no run is left: of the blocks around this one that are free, in its run, the first, or one in the middle where
 * another sequence may be about to take the first. */
function startOfStretch(id: number, isCheap: (id: number) => boolean): number {
  let [start, end] = [id, id + 1];
  while (start % RUN_BLOCKS !== 0 && isCheap(start - 1)) start--;
  while (end % RUN_BLOCKS !== 0 && isCheap(end)) end++;
  return start % RUN_BLOCKS === 0 ? start : start + Math.floor((end - start) / 2);
}
