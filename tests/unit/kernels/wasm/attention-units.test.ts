/** How attention is divided among threads: nothing twice, nothing left out, nobody with much more than his share. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AttentionBatch,
  type AttentionUnit,
  dividedSequences,
  unitRuns,
  unitsOfPart,
  unitsOfSection,
} from '../../../../engine/kernels/wasm/ops/attention-units.ts';

/** Often the one of a token that is decoded. */
const numRows = () => fc.oneof(fc.constant(1), fc.nat(40));

const batches = () =>
  fc
    .record({
      sequences: fc.array(fc.record({ numRows: numRows(), numPast: fc.nat(3000), isPadding: fc.boolean() }), {
        minLength: 1,
        maxLength: 5,
      }),
      numKvHeads: fc.integer({ min: 1, max: 4 }),
      numSharing: fc.integer({ min: 1, max: 7 }),
      window: fc.constantFrom(1, 17, 700, Number.POSITIVE_INFINITY),
      maxQueries: fc.integer({ min: 4, max: 64 }),
      maxStates: fc.constantFrom(0, 40, 1000),
    })
    .map(({ sequences, ...rest }): AttentionBatch => {
      const starts = [0];
      for (const { numRows } of sequences) starts.push(starts.at(-1)! + numRows);
      const seqLens = sequences.map(({ numRows, numPast, isPadding }) => (isPadding ? 0 : numRows + numPast));
      return { ...rest, queryStartLoc: Int32Array.from(starts), seqLens: Int32Array.from(seqLens) };
    });

/** Of sequences that are divided, a section's units at a time. */
function sectionUnits(batch: AttentionBatch): AttentionUnit[] {
  const all = dividedSequences(batch).map((entry) =>
    Array.from({ length: entry.numSections }, (_, section) => unitsOfSection(batch, entry, section)),
  );
  return all.flat(2);
}

/** What each of `count` threads has to do in any case, and then what any of them may do. */
const allUnits = (batch: AttentionBatch, count: number): AttentionUnit[][] => [
  ...Array.from({ length: count }, (_, index) => unitsOfPart(batch, dividedSequences(batch), { index, count })),
  sectionUnits(batch),
];

describe('unitsOfPart', () => {
  it('gives every query of every KV head and each of its keys to one part, once', () => {
    fc.assert(
      fc.property(batches(), fc.integer({ min: 1, max: 5 }), (batch, count) => {
        const seen = new Map<string, AttentionUnit[]>();
        for (const unit of allUnits(batch, count).flat()) {
          for (let i = 0; i < unit.numQueries; i++) {
            const query = `${unit.sequence} ${unit.kvHead} ${unit.firstQuery + i}`;
            seen.set(query, [...(seen.get(query) ?? []), unit]);
          }
        }
        const expected = [...batch.seqLens.keys()].flatMap((sequence) => {
          const numRows = batch.queryStartLoc[sequence + 1]! - batch.queryStartLoc[sequence]!;
          return Array.from({ length: batch.numKvHeads }, (_, head) =>
            Array.from({ length: numRows * batch.numSharing }, (_, query) => `${sequence} ${head} ${query}`),
          ).flat();
        });
        expect([...seen.keys()].toSorted()).toEqual(expected.toSorted());
        for (const units of seen.values()) {
          // Sections follow one another without a gap.
          const ends = units.map(({ endKey }) => endKey);
          expect(units.slice(1).map(({ firstKey }) => firstKey)).toEqual(ends.slice(0, -1));
          expect(units.length === 1 || units.every(({ firstState }) => firstState >= 0)).toBe(true);
        }
      }),
    );
  });

  it('divides sections at multiples of 512 keys, each with a place of its own for the states of its queries', () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        const places = new Set<number>();
        for (const unit of allUnits(batch, 3).flat()) {
          if (unit.firstState === -1) continue;
          expect(Math.floor(unit.firstKey / 512)).toBe(Math.floor((unit.endKey - 1) / 512));
          for (let i = 0; i < unit.numQueries; i++) {
            expect(places.has(unit.firstState + i)).toBe(false);
            places.add(unit.firstState + i);
          }
        }
        const numStates = dividedSequences(batch).reduce((sum, entry) => sum + entry.numSections * entry.numQueries, 0);
        expect([...places].toSorted((a, b) => a - b)).toEqual(Array.from({ length: numStates }, (_, i) => i));
        expect(numStates).toBeLessThanOrEqual(batch.maxStates);
      }),
    );
  });

  it('walks units together that see the same keys, in their order and as far as there is room', () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        const units = allUnits(batch, 1).flat();
        const runs = unitRuns(units, batch.maxQueries);
        expect(runs.flat()).toEqual(units);
        for (const run of runs) {
          expect(run.reduce((sum, { numQueries }) => sum + numQueries, 0)).toBeLessThanOrEqual(batch.maxQueries);
          const sights = run.map(({ kvHead: _, firstState: _state, ...sight }) => sight);
          // The states of a run lie one after another.
          const [{ firstState, numQueries }] = run as [AttentionUnit];
          expect(run.map((unit) => unit.firstState)).toEqual(
            run.map((_, i) => (firstState === -1 ? -1 : firstState + i * numQueries)),
          );
          expect(sights).toEqual(sights.map(() => sights[0]));
        }
        if (batch.maxQueries >= 28 && batch.seqLens.length === 1 && units[0]?.numQueries === batch.numSharing) {
          expect(runs.length).toBe(dividedSequences(batch)[0]?.numSections ?? 1);
        }
      }),
    );
  });

  it('names exactly the keys that the unit sees', () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        for (const unit of allUnits({ ...batch, maxStates: 0 }, 1).flat()) {
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

  it('splits one token with a long past by its sections, and where there is no room for their states by KV heads', () => {
    const decode = { numKvHeads: 8, numSharing: 4, window: Number.POSITIVE_INFINITY, maxQueries: 64 };
    const long = { ...decode, queryStartLoc: Int32Array.of(0, 1), seqLens: Int32Array.of(4096) };
    const heads = [0, 1, 2, 3, 4, 5, 6, 7];
    const [first, second, sections] = allUnits({ ...long, maxStates: 1000 }, 2);
    expect([first, second]).toEqual([[], []]);
    expect(sections!.map(({ firstKey, kvHead }) => [firstKey, kvHead])).toEqual(
      Array.from({ length: 8 }, (_, i) => heads.map((head) => [512 * i, head])).flat(),
    );
    expect(allUnits({ ...long, maxStates: 255 }, 2).map((units) => units.map(({ kvHead }) => kvHead))).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [],
    ]);
  });

  it('gives threads equal work of a prompt', () => {
    const one = { numSharing: 4, numKvHeads: 1, window: Number.POSITIVE_INFINITY, maxQueries: 64, maxStates: 1000 };
    const prompt = { ...one, queryStartLoc: Int32Array.of(0, 512), seqLens: Int32Array.of(512) };
    const costs = allUnits(prompt, 3)
      .slice(0, 3)
      .map((units) =>
        units.reduce((sum, { numQueries, firstKey, endKey }) => sum + numQueries * (endKey - firstKey), 0),
      );
    expect(Math.max(...costs) / Math.min(...costs)).toBeLessThan(1.15);
  });
});
