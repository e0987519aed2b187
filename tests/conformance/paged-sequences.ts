/** Attention as a scheduler would drive it: sequences with all their queries, keys and values, computed a chunk at a
 * time in whatever batches and pages. Uses a backend only through writeKv and pagedAttention. */
import type { KV_DTYPES } from '../../engine/kernels/ops.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';
import { permutation, randomValues } from '../helpers/arbitraries-kernels.ts';
import type { Workspace } from './workspace.ts';

export interface AttentionConfig {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly kvDtype: (typeof KV_DTYPES)[number];
  readonly slidingWindow?: number | undefined;
  readonly softCap?: number | undefined;
}

/** All tokens of one sequence: q [length, NH, D], k and v [length, NKV, D]. */
export interface SequenceData {
  readonly length: number;
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
}

/** Tokens `from` to `to` - 1 of a sequence, computed in one step after all tokens before them. */
export interface Chunk {
  readonly sequence: number;
  readonly from: number;
  readonly to: number;
}

export function scaleOf({ headDim }: AttentionConfig): number {
  return 1 / Math.sqrt(headDim);
}

export function randomSequence(config: AttentionConfig, length: number, seed: number): SequenceData {
  const { numHeads, numKvHeads, headDim } = config;
  return {
    length,
    q: randomValues(seed, length * numHeads * headDim, 3),
    k: randomValues(seed + 1, length * numKvHeads * headDim, 2),
    v: randomValues(seed + 2, length * numKvHeads * headDim),
  };
}

export interface PagedLayout {
  readonly blockSize: number;
  readonly seed: number;
  /** What slots hold before anything is stored there. Default NaN. Backends may read pages that never held anything but
   * finite numbers in another way than others, so tests want both. */
  readonly stale?: number;
}

/** A paged cache that holds some sequences, in pages handed out in a random order. */
export class PagedSequences {
  readonly #work: Workspace;
  readonly #config: AttentionConfig;
  readonly #sequences: readonly SequenceData[];
  readonly #blockSize: number;
  readonly #tables: readonly (readonly number[])[];
  readonly #keyCache: Tensor;
  readonly #valueCache: Tensor;

  constructor(work: Workspace, config: AttentionConfig, sequences: readonly SequenceData[], layout: PagedLayout) {
    this.#work = work;
    this.#config = config;
    this.#sequences = sequences;
    this.#blockSize = layout.blockSize;
    const numPages = sequences.map(({ length }) => Math.ceil(length / layout.blockSize));
    const numBlocks = numPages.reduce((sum, count) => sum + count, 0) + 2;
    const order = permutation(layout.seed, numBlocks);
    let next = 0;
    this.#tables = numPages.map((count) => Array.from({ length: count }, () => order[next++]!));
    const shape = [numBlocks, config.numKvHeads, layout.blockSize, config.headDim];
    this.#keyCache = work.zeros(config.kvDtype, shape);
    this.#valueCache = work.zeros(config.kvDtype, shape);
    this.#fill(numBlocks * layout.blockSize, layout.stale ?? Number.NaN);
  }

  /** Pages come with whatever their last owner left. A kernel that reads a slot nobody sees, if only to multiply it by
   * a weight of 0, gives itself away. */
  #fill(numSlots: number, value: number): void {
    const { numKvHeads, headDim } = this.#config;
    const shape = [numSlots, numKvHeads, headDim];
    const stale = this.#work.floats(shape, new Float32Array(numSlots * numKvHeads * headDim).fill(value));
    const slotMapping = this.#work.ints(
      [numSlots],
      Array.from({ length: numSlots }, (_, slot) => slot),
    );
    const [keyCache, valueCache] = [this.#keyCache, this.#valueCache];
    this.#work.run('writeKv', { k: stale, v: stale, keyCache, valueCache, slotMapping });
  }

  /** One step: stores the chunks' keys and values, then attends. Resolves to one [tokens, NH, D] per chunk. */
  async step(chunks: readonly Chunk[]): Promise<Float32Array[]> {
    const { numHeads, numKvHeads, headDim, slidingWindow, softCap } = this.#config;
    const numTokens = chunks.reduce((sum, { from, to }) => sum + to - from, 0);
    const rows = (of: 'q' | 'k' | 'v', numRowHeads: number) => {
      const parts = chunks.map(({ sequence, from, to }) =>
        this.#sequences[sequence]![of].subarray(from * numRowHeads * headDim, to * numRowHeads * headDim),
      );
      return this.#work.floats([numTokens, numRowHeads, headDim], Float32Array.from(parts.flatMap((p) => [...p])));
    };
    const keyCache = this.#keyCache;
    const valueCache = this.#valueCache;
    const slotMapping = this.#work.ints([numTokens], this.#slots(chunks));
    const [k, v] = [rows('k', numKvHeads), rows('v', numKvHeads)];
    this.#work.run('writeKv', { k, v, keyCache, valueCache, slotMapping });

    const out = this.#work.output([numTokens, numHeads, headDim]);
    const starts = [0];
    for (const { from, to } of chunks) starts.push(starts.at(-1)! + to - from);
    this.#work.run('pagedAttention', {
      q: rows('q', numHeads),
      keyCache,
      valueCache,
      blockTables: this.#blockTables(chunks),
      queryStartLoc: this.#work.ints([starts.length], starts),
      seqLens: this.#work.ints(
        [chunks.length],
        chunks.map(({ to }) => to),
      ),
      scale: scaleOf(this.#config),
      slidingWindow,
      softCap,
      out,
    });
    const values = await this.#work.read(out);
    const rowLength = numHeads * headDim;
    return chunks.map((_, i) => values.slice(starts[i]! * rowLength, starts[i + 1]! * rowLength));
  }

  #slots(chunks: readonly Chunk[]): number[] {
    const blockSize = this.#blockSize;
    return chunks.flatMap(({ sequence, from, to }) =>
      Array.from({ length: to - from }, (_, i) => {
        const position = from + i;
        return this.#tables[sequence]![Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
      }),
    );
  }

  /** Entries that no query sees (past the end, or behind the window) are -1: reading them would be an error. */
  #blockTables(chunks: readonly Chunk[]): Tensor {
    const window = this.#config.slidingWindow ?? Number.POSITIVE_INFINITY;
    const maxBlocks = Math.max(1, ...this.#tables.map((table) => table.length));
    const entries = chunks.flatMap(({ sequence, from, to }) =>
      Array.from({ length: maxBlocks }, (_, page) => {
        const isSeen = page * this.#blockSize < to && (page + 1) * this.#blockSize > from - window + 1;
        return isSeen ? this.#tables[sequence]![page]! : -1;
      }),
    );
    return this.#work.ints([chunks.length, maxBlocks], entries);
  }
}
