/** Random calls of writeKv and pagedAttention. */
import fc from 'fast-check';
import { KV_DTYPES } from '../../engine/kernels/ops.ts';
import { numTokens, randomInts, randomValues, seed, size } from '../helpers/arbitraries-kernels.ts';
import { casesOf } from './conformance-case.ts';
import { type AttentionConfig, PagedSequences, randomSequence } from './paged-sequences.ts';
import { UNTOUCHED } from './workspace.ts';

/** Heads, sizes, window and soft cap of an attention layer. */
export const attentionConfig = (): fc.Arbitrary<AttentionConfig> =>
  fc
    .record({
      numKvHeads: fc.integer({ min: 1, max: 3 }),
      numSharing: fc.integer({ min: 1, max: 4 }),
      oddHeadDim: size(65),
      kvDtype: fc.constantFrom(...KV_DTYPES),
      slidingWindow: fc.option(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(63, 64, 65, 100)), {
        nil: undefined,
      }),
      softCap: fc.option(fc.constantFrom(0.5, 5, 50), { nil: undefined }),
    })
    .map(({ numSharing, oddHeadDim, ...config }) => ({
      ...config,
      numHeads: config.numKvHeads * numSharing,
      headDim: config.kvDtype === 'q8_0' ? (oddHeadDim > 32 ? 64 : 32) : oddHeadDim,
    }));

export const blockSize = () => fc.constantFrom(1, 2, 3, 4, 8, 16, 16, 32);

/** NaN, or the largest number of an f16. */
export const stale = () => fc.constantFrom(Number.NaN, 65504);

/** Tokens of a sequence that came before; now and then so many that kernels take them in several steps. */
const numPast = () =>
  fc.oneof(
    { weight: 7, arbitrary: fc.integer({ min: 0, max: 24 }) },
    { weight: 1, arbitrary: fc.integer({ min: 50, max: 200 }) },
  );

/** Several sequences, each with some tokens in the cache already and some new ones. */
const attentionParameters = () =>
  fc.record({
    config: attentionConfig(),
    blockSize: blockSize(),
    stale: stale(),
    sequences: fc.array(fc.record({ numPast: numPast(), numNew: fc.integer({ min: 1, max: 9 }) }), {
      minLength: 1,
      maxLength: 4,
    }),
    seed: seed(),
  });

const randomAttention = casesOf(
  'pagedAttention',
  attentionParameters().map((p) => ({ ...p, dtype: p.config.kvDtype })),
  async (work, p) => {
    const sequences = p.sequences.map(({ numPast, numNew }, i) =>
      randomSequence(p.config, numPast + numNew, (p.seed + 10 * i) % 2 ** 31),
    );
    const paged = new PagedSequences(work, p.config, sequences, p);
    await paged.step(p.sequences.map(({ numPast }, sequence) => ({ sequence, from: 0, to: numPast })));
    const outs = await paged.step(
      p.sequences.map(({ numPast, numNew }, sequence) => ({ sequence, from: numPast, to: numPast + numNew })),
    );
    return Float32Array.from(outs.flatMap((out) => [...out]));
  },
);

/** Writes some tokens and skips others, then reads the page back through attention: a query that sees one key gets that
 * key's value, and a query over two keys tells them apart. */
export const writeKv = casesOf(
  'writeKv',
  fc.record({
    dtype: fc.constantFrom(...KV_DTYPES),
    NKV: fc.integer({ min: 1, max: 3 }),
    blockSize: blockSize(),
    numQuantBlocks: fc.integer({ min: 1, max: 2 }),
    written: fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
    seed: seed(),
  }),
  async (work, p) => {
    const [T, D] = [p.written.length, 32 * p.numQuantBlocks];
    const numBlocks = Math.ceil(T / p.blockSize);
    const keyCache = work.zeros(p.dtype, [numBlocks, p.NKV, p.blockSize, D]);
    const valueCache = work.zeros(p.dtype, [numBlocks, p.NKV, p.blockSize, D]);
    const k = work.floats([T, p.NKV, D], randomValues(p.seed, T * p.NKV * D, 2));
    const v = work.floats([T, p.NKV, D], randomValues(p.seed + 1, T * p.NKV * D));
    const slots = p.written.map((isWritten, t) => (isWritten ? t : -1));
    work.run('writeKv', { k, v, keyCache, valueCache, slotMapping: work.ints([T], slots) });
    const out = work.output([T, p.NKV, D]);
    work.run('pagedAttention', {
      q: work.floats([T, p.NKV, D], randomValues(p.seed + 2, T * p.NKV * D)),
      keyCache,
      valueCache,
      blockTables: work.ints(
        [1, numBlocks],
        Array.from({ length: numBlocks }, (_, i) => i),
      ),
      queryStartLoc: work.ints([2], [0, T]),
      seqLens: work.ints([1], [T]),
      scale: 0.3,
      slidingWindow: 2,
      out,
    });
    return work.read(out);
  },
);

/** Fills all pages, copies some over others (a target may be the next copy's source), and reads every page back. */
export const copyBlocks = casesOf(
  'copyBlocks',
  fc.record({
    dtype: fc.constantFrom(...KV_DTYPES),
    NKV: fc.integer({ min: 1, max: 3 }),
    blockSize: blockSize(),
    numBlocks: fc.integer({ min: 1, max: 6 }),
    numCopies: fc.integer({ min: 0, max: 8 }),
    seed: seed(),
  }),
  async (work, p) => {
    const [T, D] = [p.numBlocks * p.blockSize, 32];
    const keyCache = work.zeros(p.dtype, [p.numBlocks, p.NKV, p.blockSize, D]);
    const valueCache = work.zeros(p.dtype, [p.numBlocks, p.NKV, p.blockSize, D]);
    const k = work.floats([T, p.NKV, D], randomValues(p.seed, T * p.NKV * D, 2));
    const v = work.floats([T, p.NKV, D], randomValues(p.seed + 1, T * p.NKV * D));
    const slots = Array.from({ length: T }, (_, t) => t);
    work.run('writeKv', { k, v, keyCache, valueCache, slotMapping: work.ints([T], slots) });
    const copies = work.ints([p.numCopies, 2], randomInts(p.seed + 3, 2 * p.numCopies, p.numBlocks));
    work.run('copyBlocks', { keyCache, valueCache, copies });
    const out = work.output([T, p.NKV, D]);
    work.run('pagedAttention', {
      q: work.floats([T, p.NKV, D], randomValues(p.seed + 2, T * p.NKV * D)),
      keyCache,
      valueCache,
      blockTables: work.ints([1, p.numBlocks], slots.slice(0, p.numBlocks)),
      queryStartLoc: work.ints([2], [0, T]),
      seqLens: work.ints([1], [T]),
      scale: 0.3,
      slidingWindow: 2,
      out,
    });
    return work.read(out);
  },
);

/** Rows that belong to no sequence stay as they were, and rows of a padding sequence (seqLen 0) become zeros. */
const paddedAttention = casesOf(
  'pagedAttention',
  fc.record({ padding: numTokens(), seed: seed() }),
  async (work, p) => {
    const [T, D] = [1 + 2 * p.padding, 8];
    const out = work.output([T, 1, D]);
    work.run('pagedAttention', {
      q: work.floats([T, 1, D], randomValues(p.seed, T * D)),
      keyCache: work.zeros('f32', [1, 1, 4, D]),
      valueCache: work.zeros('f32', [1, 1, 4, D]),
      blockTables: work.ints([3, 1], [0, -1, -1]),
      queryStartLoc: work.ints([4], [0, 1, 1, 1 + p.padding]),
      seqLens: work.ints([3], [3, 0, 0]),
      scale: 1,
      out,
    });
    const values = await work.read(out);
    // -12345678 would drown everything else in the comparison's root mean square.
    return values.map((value) => (value === UNTOUCHED ? 2 : value));
  },
);

export const pagedAttention = fc.oneof(
  { weight: 9, arbitrary: randomAttention },
  { weight: 1, arbitrary: paddedAttention },
);
