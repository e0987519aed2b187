/** How attention is divided among threads: nothing twice, nothing left out, nobody with much more than his share. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AttentionBatch,
  type AttentionUnit,
  unitRuns,
  unitsOfPart,
} from '../../../../engine/kernels/wasm/ops/attention-units.ts';

const batches = () =>
  fc
    .record({
      sequences: fc.array(fc.record({ numRows: fc.nat(40), numPast: fc.nat(300), isPadding: fc.boolean() }), {
        minLength: 1,
        maxLength: 5,
      }),
      numKvHeads: fc.integer({ min: 1, max: 4 }),
      numSharing: fc.integer({ min: 1, max: 7 }),
      window: fc.constantFrom(1, 17, 100, Number.POSITIVE_INFINITY),
      maxQueries: fc.integer({ min: 4, max: 64 }),
    })
    .map(({ sequences, ...rest }): AttentionBatch => {
      const starts = [0];
      for (const { numRows } of sequences) starts.push(starts.at(-1)! + numRows);
      const seqLens = sequences.map(({ numRows, numPast, isPadding }) => (isPadding ? 0 : numRows + numPast));
      return { ...rest, queryStartLoc: Int32Array.from(starts), seqLens: Int32Array.from(seqLens) };
    });

const allUnits = (batch: AttentionBatch, count: number): AttentionUnit[][] =>
  Array.from({ length: count }, (_, index) => unitsOfPart(batch, { index, count }));

describe('unitsOfPart', () => {
  it('gives every query of every KV head to one part, once', () => {
    fc.assert(
      fc.property(batches(), fc.integer({ min: 1, max: 5 }), (batch, count) => {
        const seen = allUnits(batch, count)
          .flat()
          .flatMap(({ sequence, kvHead, firstQuery, numQueries }) =>
            Array.from({ length: numQueries }, (_, i) => `${sequence} ${kvHead} ${firstQuery + i}`),
          );
        const expected = [...batch.seqLens.keys()].flatMap((sequence) => {
          const numRows = batch.queryStartLoc[sequence + 1]! - batch.queryStartLoc[sequence]!;
          return Array.from({ length: batch.numKvHeads }, (_, head) =>
            Array.from({ length: numRows * batch.numSharing }, (_, query) => `${sequence} ${head} ${query}`),
          ).flat();
        });
        expect(seen).toEqual(expected);
      }),
    );
  });

  it('walks units together that see the same keys, in their order and as far as there is room', () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        const units = unitsOfPart(batch, { index: 0, count: 1 });
        const runs = unitRuns(units, batch.maxQueries);
        expect(runs.flat()).toEqual(units);
        for (const run of runs) {
          expect(run.reduce((sum, { numQueries }) => sum + numQueries, 0)).toBeLessThanOrEqual(batch.maxQueries);
          const sights = run.map(({ kvHead: _, ...sight }) => sight);
          expect(sights).toEqual(sights.map(() => sights[0]));
        }
        if (batch.maxQueries >= 28 && batch.seqLens.length === 1 && units[0]?.numQueries === batch.numSharing) {
          expect(runs.length).toBe(1);
        }
      }),
    );
  });

  it('names exactly the keys that the unit sees', () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        for (const unit of allUnits(batch, 1).flat()) {
          const [numRows, seqLen] = [
            batch.queryStartLoc[unit.sequence + 1]! - batch.queryStartLoc[unit.sequence]!,
            batch.seqLens[unit.sequence]!,
          ];
          const positions = Array.from(
            { length: unit.numQueries },
            (_, i) => seqLen - numRows + Math.floor((unit.firstQuery + i) / batch.numSharing),
          );
          const first = Math.min(...positions.map((position) => Math.max(0, position - batch.window + 1)));
          const end = Math.max(...positions) + 1;
          expect([unit.firstKey, unit.endKey]).toEqual(seqLen === 0 ? [0, 0] : [first, end]);
        }
      }),
    );
  });

  it('splits one token with a long past by KV heads, and a prompt by what its rows cost', () => {
    const decode = { numKvHeads: 8, numSharing: 4, window: Number.POSITIVE_INFINITY, maxQueries: 64 };
    const long = { ...decode, queryStartLoc: Int32Array.of(0, 1), seqLens: Int32Array.of(4096) };
    expect(allUnits(long, 2).map((units) => units.map(({ kvHead }) => kvHead))).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ]);
    const prompt = { ...decode, numKvHeads: 1, queryStartLoc: Int32Array.of(0, 512), seqLens: Int32Array.of(512) };
    const costs = allUnits(prompt, 3).map((units) =>
      units.reduce((sum, { numQueries, endKey }) => sum + numQueries * endKey, 0),
    );
    expect(Math.max(...costs) / Math.min(...costs)).toBeLessThan(1.15);
  });
});
