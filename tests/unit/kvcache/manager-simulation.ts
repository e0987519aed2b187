/** Drives a `KvCacheManager` and keeps, beside it, what every slot of the pages would hold. After each operation it
 * checks that each sequence finds its own tokens in its own pages, and that the counts add up. */
import { expect } from 'vitest';
import { NULL_BLOCK_ID } from '../../../engine/kvcache/block-pool.ts';
import { KvCacheManager } from '../../../engine/kvcache/kv-cache-manager.ts';
import type { CacheableSequence, KvCacheManagerOptions } from '../../../engine/kvcache/kv-cache-options.ts';
import { NaivePrefixCache, prefixKey } from './naive-prefix-cache.ts';

class TestSequence implements CacheableSequence {
  readonly id: number;
  readonly cacheSalt: string;
  readonly tokenIds: Int32Array;
  numComputedTokens = 0;

  constructor(id: number, cacheSalt: string, tokenIds: readonly number[]) {
    this.id = id;
    this.cacheSalt = cacheSalt;
    this.tokenIds = Int32Array.from(tokenIds);
  }

  get numTokens(): number {
    return this.tokenIds.length;
  }

  /** What the slot of `position` must hold: everything up to there. */
  contentAt(position: number): string {
    return `${this.cacheSalt}:${this.tokenIds.slice(0, position + 1).join(',')}`;
  }
}

export interface ManagerStep {
  readonly op: 'start' | 'grow' | 'fork' | 'free';
  /** Chooses among what is there. */
  readonly pick: number;
  /** How many tokens. */
  readonly amount: number;
  readonly tokens: readonly number[];
  readonly salt: string;
}

const MAX_SEQUENCES = 6;

export class ManagerSimulation {
  readonly #manager: KvCacheManager;
  readonly #options: KvCacheManagerOptions;
  readonly #slots = new Map<number, string>();
  readonly #oracle = new NaivePrefixCache();
  readonly #sequences: TestSequence[] = [];
  #nextId = 1;
  numHits = 0;
  numCopies = 0;
  numRefusals = 0;

  constructor(options: KvCacheManagerOptions) {
    this.#options = options;
    this.#manager = new KvCacheManager(options);
  }

  apply(step: ManagerStep): void {
    const chosen = this.#sequences[step.pick % Math.max(1, this.#sequences.length)];
    // A pool that stays full shows only refusals.
    if (chosen !== undefined && this.#sequences.length >= MAX_SEQUENCES) this.#free(chosen);
    else if (step.op === 'start') this.#start(step);
    else if (chosen !== undefined && step.op === 'grow') this.#allocate(chosen, step.amount);
    else if (chosen !== undefined && step.op === 'fork') this.#fork(chosen, step);
    else if (chosen !== undefined && step.op === 'free') this.#free(chosen);
    this.#check();
  }

  /** Frees everything and expects the pool to be whole again. */
  finish(): void {
    for (const sequence of [...this.#sequences]) this.#free(sequence);
    expect(this.#manager.stats()).toMatchObject({ used: 0, free: this.#options.numBlocks - 1 });
    expect(this.#manager.resetPrefixCache()).toBe(true);
    expect(this.#manager.stats().cached).toBe(0);
  }

  #start({ tokens, salt, amount }: ManagerStep): void {
    const sequence = new TestSequence(this.#nextId++, salt, tokens);
    const { blockSize } = this.#options;
    const prefix = this.#manager.getComputedBlocks(sequence);
    const numExpected = this.#oracle.numMatching(salt, tokens, tokens.length, blockSize);
    if (this.#options.slidingWindow === undefined) expect(prefix.blockIds.length).toBe(numExpected);
    else expect(prefix.blockIds.length).toBeLessThanOrEqual(numExpected);
    expect(prefix.blockIds.length * blockSize).toBeLessThan(tokens.length);
    this.#sequences.push(sequence);
    const isStarted = this.#allocate(sequence, amount, prefix);
    if (isStarted) this.numHits += prefix.blockIds.length;
    else this.#sequences.pop();
  }

  #allocate(sequence: TestSequence, amount: number, prefix?: ReturnType<KvCacheManager['getComputedBlocks']>): boolean {
    const numPrefixTokens = (prefix?.blockIds.length ?? 0) * this.#options.blockSize;
    const numComputed = prefix === undefined ? sequence.numComputedTokens : numPrefixTokens;
    const numNew = Math.min(amount, sequence.numTokens - numComputed);
    if (numNew === 0) return false;
    const before = this.#manager.stats();
    const tableBefore = [...this.#manager.blockTable(sequence.id)];
    if (this.#manager.allocateSlots(sequence, numNew, { ...(prefix && { prefix }) }) === undefined) {
      this.numRefusals++;
      expect(this.#manager.stats().cached).toBe(before.cached);
      if (this.#options.slidingWindow === undefined) {
        expect([...this.#manager.blockTable(sequence.id)]).toEqual(tableBefore);
        expect(this.#manager.stats()).toEqual(before);
      }
      return false;
    }
    sequence.numComputedTokens = numComputed;
    this.#write(sequence, numNew, [...tableBefore, ...(prefix?.blockIds ?? [])]);
    return true;
  }

  /** As the runner: copies first, then the new tokens' slots; then the full blocks become findable. */
  #write(sequence: TestSequence, numNew: number, known: readonly number[]): void {
    const { blockSize } = this.#options;
    const table = this.#manager.blockTable(sequence.id);
    const firstIndex = Math.floor(sequence.numComputedTokens / blockSize);
    for (const [i, blockId] of table.entries()) {
      if (i >= firstIndex || !known.includes(blockId)) this.#oracle.remove(blockId);
    }
    for (const { source, target } of this.#manager.takeBlockCopies()) {
      this.numCopies++;
      for (let i = 0; i < blockSize; i++) {
        this.#slots.set(target * blockSize + i, this.#slots.get(source * blockSize + i) ?? '');
      }
    }
    for (let i = 0; i < numNew; i++) {
      const position = sequence.numComputedTokens + i;
      this.#slots.set(this.#slotOf(sequence, position), sequence.contentAt(position));
    }
    sequence.numComputedTokens += numNew;
    this.#manager.cacheFullBlocks(sequence);
    if (this.#options.enablePrefixCaching === false) return;
    for (let i = 0; (i + 1) * blockSize <= sequence.numComputedTokens; i++) {
      const key = prefixKey(sequence.cacheSalt, sequence.tokenIds, i + 1, blockSize);
      if (table[i] !== NULL_BLOCK_ID) this.#oracle.insert(table[i]!, key);
    }
  }

  #fork(parent: TestSequence, { tokens, amount }: ManagerStep): void {
    const numShared = Math.min(amount, parent.numComputedTokens);
    const tail = tokens.length === 0 ? [0] : tokens;
    const child = new TestSequence(this.#nextId++, parent.cacheSalt, [...parent.tokenIds.slice(0, numShared), ...tail]);
    const before = this.#manager.stats();
    if (this.#manager.fork(parent, child, numShared) === undefined) {
      expect(this.#options.slidingWindow).toBeDefined();
      return;
    }
    expect(this.#manager.stats()).toEqual(before);
    child.numComputedTokens = numShared;
    this.#sequences.push(child);
  }

  #free(sequence: TestSequence): void {
    this.#manager.free(sequence.id);
    this.#sequences.splice(this.#sequences.indexOf(sequence), 1);
  }

  #slotOf(sequence: TestSequence, position: number): number {
    const { blockSize } = this.#options;
    const blockId = this.#manager.blockTable(sequence.id)[Math.floor(position / blockSize)]!;
    if (!(blockId > NULL_BLOCK_ID)) throw new Error(`sequence ${sequence.id} has no block for position ${position}`);
    return blockId * blockSize + (position % blockSize);
  }

  #check(): void {
    const { numBlocks, slidingWindow = Number.POSITIVE_INFINITY } = this.#options;
    expect(this.#manager.findInconsistency()).toBeUndefined();
    const { used, free } = this.#manager.stats();
    expect(used + free).toBe(numBlocks - 1);
    for (const sequence of this.#sequences) {
      // All that the next token sees must be there, and be this sequence's own.
      const first = Math.max(0, sequence.numComputedTokens - slidingWindow + 1);
      for (let position = first; position < sequence.numComputedTokens; position++) {
        const content = this.#slots.get(this.#slotOf(sequence, position));
        if (content !== sequence.contentAt(position)) {
          throw new Error(`sequence ${sequence.id} reads ${content} at ${position}`);
        }
      }
    }
  }
}
