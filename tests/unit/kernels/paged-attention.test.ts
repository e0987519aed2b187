/** Paged attention against dense attention, whatever the pages; and what happens at its edges.
 * That batch, chunks and pages change no bit is asserted for every backend in `conformance/invariance.ts`. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { attentionConfig, blockSize } from '../../conformance/attention-cases.ts';
import {
  type AttentionConfig,
  PagedSequences,
  randomSequence,
  type SequenceData,
  scaleOf,
} from '../../conformance/paged-sequences.ts';
import { withWorkspace } from '../../conformance/workspace.ts';
import { seed, throughFormat } from '../../helpers/arbitraries-kernels.ts';
import { KV_CACHE_ERROR } from '../../helpers/tolerances.ts';
import { attention, findFarValue, rowsOf } from './naive.ts';

const backend = new ReferenceBackend();
afterAll(() => backend.close());

/** Dense attention over a sequence with the naive formula: [length, NH, D], as `pagedAttention` lays it out. */
function dense(config: AttentionConfig, { q, k, v, length }: SequenceData): number[] {
  const { numHeads, numKvHeads, headDim, slidingWindow, softCap } = config;
  const headRows = (values: Float32Array, numRowHeads: number, head: number) =>
    rowsOf(values, headDim).filter((_, row) => row % numRowHeads === head);
  const heads = Array.from({ length: numHeads }, (_, head) => {
    const kvHead = Math.floor(head / (numHeads / numKvHeads));
    const inputs = {
      queries: headRows(q, numHeads, head),
      keys: headRows(k, numKvHeads, kvHead),
      values: headRows(v, numKvHeads, kvHead),
    };
    return attention(inputs, { scale: scaleOf(config), window: slidingWindow, softCap });
  });
  return Array.from({ length }, (_, t) => heads.map((rows) => rows[t]!)).flat(2);
}

/** The whole sequence in one step through a paged cache. */
function paged(config: AttentionConfig, sequence: SequenceData, layout: { blockSize: number; seed: number }) {
  return withWorkspace(backend, async (work) => {
    const cache = new PagedSequences(work, config, [sequence], layout);
    return (await cache.step([{ sequence: 0, from: 0, to: sequence.length }]))[0]!;
  });
}

const cases = fc.record({
  config: attentionConfig(),
  length: fc.integer({ min: 1, max: 33 }),
  blockSize: blockSize(),
  seed: seed(),
});

describe('paged attention', () => {
  it('equals dense attention over the cached values, under any permutation of blocks and block size', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({ config, length, blockSize, seed }) => {
        const sequence = randomSequence(config, length, seed);
        const cached = {
          ...sequence,
          k: throughFormat(config.kvDtype, sequence.k),
          v: throughFormat(config.kvDtype, sequence.v),
        };
        const actual = await paged(config, sequence, { blockSize, seed });
        expect(findFarValue(actual, dense(config, cached))).toBeUndefined();
      }),
    ));

  it('stays close to exact attention with a cache of fewer bits', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({ config, length, blockSize, seed }) => {
        const sequence = randomSequence(config, length, seed);
        const exact = dense(config, sequence);
        const actual = await paged(config, sequence, { blockSize, seed });
        expect(findFarValue(actual, exact, KV_CACHE_ERROR[config.kvDtype])).toBeUndefined();
      }),
    ));

  it('with a window of 1 gives each token its own value', async () => {
    const config = { numHeads: 2, numKvHeads: 2, headDim: 3, kvDtype: 'f32', slidingWindow: 1 } as const;
    const sequence = randomSequence(config, 9, 1);
    expect(await paged(config, sequence, { blockSize: 4, seed: 2 })).toEqual(sequence.v);
  });

  it('survives scores that overflow exp', async () => {
    const config = { numHeads: 1, numKvHeads: 1, headDim: 1, kvDtype: 'f32' } as const;
    const sequence = { length: 2, q: Float32Array.of(0, 1e6), k: Float32Array.of(1, 2), v: Float32Array.of(3, 5) };
    expect([...(await paged(config, sequence, { blockSize: 2, seed: 1 }))]).toEqual([3, 5]);
  });

  it('lets NaN reach the tokens that see it, and no earlier one', async () => {
    const config = { numHeads: 1, numKvHeads: 1, headDim: 2, kvDtype: 'f32' } as const;
    const sequence = randomSequence(config, 4, 1);
    sequence.k[2 * 2] = Number.NaN;
    const actual = await paged(config, sequence, { blockSize: 2, seed: 1 });
    expect([...actual].map(Number.isNaN)).toEqual([false, false, false, false, true, true, true, true]);
  });
});

/** One sequence of `seqLen` tokens, 2 blocks of 4 in a pool of 3, one head of 2; `change` spoils something. */
function attend(change: {
  seqLen?: number;
  queryStartLoc?: number[];
  table?: number[];
  slots?: number[];
  slidingWindow?: number;
}) {
  const { seqLen = 6, queryStartLoc = [0, 2], table = [2, 0], slots = [8, 9, 10, 11, 0, 1], slidingWindow } = change;
  return withWorkspace(backend, async (work) => {
    const keyCache = work.zeros('f32', [3, 1, 4, 2]);
    const valueCache = work.zeros('f32', [3, 1, 4, 2]);
    const k = work.floats([6, 1, 2], new Float32Array(12));
    const v = work.floats([6, 1, 2], Float32Array.of(1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6));
    work.run('writeKv', { k, v, keyCache, valueCache, slotMapping: work.ints([6], slots) });
    const out = work.floats([2, 1, 2], Float32Array.of(7, 7, 7, 7));
    work.run('pagedAttention', {
      q: work.floats([2, 1, 2], new Float32Array(4)),
      keyCache,
      valueCache,
      blockTables: work.ints([1, 2], table),
      queryStartLoc: work.ints([2], queryStartLoc),
      seqLens: work.ints([1], [seqLen]),
      scale: 1,
      slidingWindow,
      out,
    });
    return [...(await work.read(out))];
  });
}

describe('at the edges', () => {
  // All scores are 0, so each query gets the mean of the values it sees.
  it('finds tokens through the block table', async () => {
    expect(await attend({})).toEqual([3, 3, 3.5, 3.5]);
  });

  it('skips slot -1', async () => {
    expect(await attend({ slots: [8, -1, 10, 11, 0, 1] })).toEqual(
      [2.6, 2.6].map(Math.fround).concat([19 / 6, 19 / 6].map(Math.fround)),
    );
  });

  it('gives zeros to the rows of a sequence of no tokens', async () => {
    expect(await attend({ seqLen: 0, table: [-1, -1] })).toEqual([0, 0, 0, 0]);
  });

  it('leaves rows that belong to no sequence alone', async () => {
    expect(await attend({ queryStartLoc: [0, 0] })).toEqual([7, 7, 7, 7]);
    expect(await attend({ queryStartLoc: [0, 1] })).toEqual([3.5, 3.5, 7, 7]);
  });

  it('does not look at blocks behind the window', async () => {
    expect(await attend({ slidingWindow: 1, table: [-1, 0] })).toEqual([5, 5, 6, 6]);
    await expect(attend({ slidingWindow: 2, table: [-1, 0] })).rejects.toThrow(/blockTables\[0\]\[0\]/);
  });

  it.each([
    ['a block beyond the pool', { table: [3, 0] }, /blockTables\[0\]\[0\]: must be from 0 to 2, got 3/],
    ['no block where one is needed', { table: [2, -1] }, /blockTables\[0\]\[1\]: must be from 0 to 2, got -1/],
    ['more tokens than the table holds', { seqLen: 9 }, /seqLens\[0\]: must be 0 or from 2 .* to 8 .*, got 9/],
    ['fewer tokens than queries', { seqLen: 1 }, /seqLens\[0\]: must be 0 or from 2/],
    ['a negative length', { seqLen: -1 }, /seqLens\[0\]/],
    ['queries past the batch', { queryStartLoc: [0, 3] }, /queryStartLoc\[1\]: must be from 0 .* to 2/],
    ['queries that run backwards', { queryStartLoc: [0, -1] }, /queryStartLoc\[1\]/],
    ['queries that do not start at 0', { queryStartLoc: [1, 2] }, /queryStartLoc\[0\]: must be 0, got 1/],
    [
      'a slot beyond the pool',
      { slots: [12, 9, 10, 11, 0, 1] },
      /slotMapping\[0\]: must be -1 or from 0 to 11, got 12/,
    ],
    ['a slot below -1', { slots: [8, -2, 10, 11, 0, 1] }, /slotMapping\[1\]/],
    [
      'a slot written twice',
      { slots: [8, 9, 10, 11, 0, 8] },
      /slotMapping\[5\]: slot 8 is written by an earlier token/,
    ],
  ])('refuses %s', async (_, change, message) => {
    await expect(attend(change)).rejects.toThrow(InvalidArgumentError);
    await expect(attend(change)).rejects.toThrow(message);
  });
});
