/** The prefix cache as a list: which block holds the end of which prefix. An oracle for tests. */

const SEPARATOR = '|';

/** A prefix of whole blocks as text: salt, then the tokens of each block. */
export function prefixKey(salt: string, tokenIds: ArrayLike<number>, numBlocks: number, blockSize: number): string {
  const blocks: string[] = [JSON.stringify(salt)];
  for (let i = 0; i < numBlocks; i++) {
    blocks.push(Array.from({ length: blockSize }, (_, j) => tokenIds[i * blockSize + j]).join(','));
  }
  return blocks.join(SEPARATOR);
}

export class NaivePrefixCache {
  /** Block to prefix, for what can still be found. */
  readonly #findable = new Map<number, string>();

  insert(blockId: number, key: string): void {
    this.#findable.set(blockId, key);
  }

  /** Without the last block that holds a prefix, nothing that continues it can be found any more, ever. */
  remove(blockId: number): void {
    const key = this.#findable.get(blockId);
    if (key === undefined) return;
    this.#findable.delete(blockId);
    if (this.blocksOf(key).length > 0) return;
    for (const [other, longer] of this.#findable) {
      if (longer.startsWith(key + SEPARATOR)) this.#findable.delete(other);
    }
  }

  blocksOf(key: string): number[] {
    return [...this.#findable].filter(([, other]) => other === key).map(([blockId]) => blockId);
  }

  /** Blocks of the longest prefix found, at most `numTokens` - 1 tokens. */
  numMatching(salt: string, tokenIds: ArrayLike<number>, numTokens: number, blockSize: number): number {
    let count = 0;
    while ((count + 1) * blockSize < numTokens) {
      if (this.blocksOf(prefixKey(salt, tokenIds, count + 1, blockSize)).length === 0) break;
      count++;
    }
    return count;
  }
}
