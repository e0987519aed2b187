/** How tokens fall into blocks, and which blocks a sliding window has left behind. Arithmetic only. */
import { checkCount } from './count-argument.ts';

export class BlockGeometry {
  /** Tokens per block. */
  readonly blockSize: number;
  /** Tokens that attention sees, the query's own included. `undefined`: all. */
  readonly slidingWindow: number | undefined;

  /** @throws InvalidArgumentError */
  constructor(blockSize: number, slidingWindow: number | undefined) {
    checkCount('blockSize', blockSize, 1);
    if (slidingWindow !== undefined) checkCount('slidingWindow', slidingWindow, 1);
    this.blockSize = blockSize;
    this.slidingWindow = slidingWindow;
  }

  /** Blocks that `numTokens` tokens take, the last one perhaps in part. */
  numBlocks(numTokens: number): number {
    return Math.ceil(numTokens / this.blockSize);
  }

  /** Leading blocks that no token from position `numComputed` on can see: token p sees p - window + 1 to p.
   *
   *   blockSize 4, window 6, numComputed 12:   [ 0 1 2 3 | 4 5 6 7 | 8 9 10 11 | 12 ...
   *   token 12 sees 7 to 12                      behind    needed                        -> 1 */
  numBlocksBehindWindow(numComputed: number): number {
    if (this.slidingWindow === undefined) return 0;
    return Math.floor(Math.max(0, numComputed - this.slidingWindow + 1) / this.blockSize);
  }

  /** The most blocks that a sequence of `numTokens` holds at a time when a step computes at most `maxChunk` of them. */
  maxHeldBlocks(numTokens: number, maxChunk: number): number {
    const whole = this.numBlocks(numTokens);
    if (this.slidingWindow === undefined) return whole;
    // The window of the chunk's first token and the chunk itself, at the worst alignment to block borders.
    const span = this.slidingWindow - 1 + maxChunk;
    return Math.min(whole, Math.floor((span + this.blockSize - 2) / this.blockSize) + 1);
  }
}
