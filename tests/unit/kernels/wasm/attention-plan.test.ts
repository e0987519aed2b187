/** How attention is divided among threads: nothing twice, nothing left out, nobody with much more than his share. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AttentionPlans, planAttention } from '../../../../engine/kernels/wasm/ops/attention-plan.ts';
import type {
  AttentionBatch,
  AttentionRun,
  SequenceQueries,
  Span,
} from '../../../../engine/kernels/wasm/ops/attention-queries.ts';

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

/** What each of `count` threads has to do in any case, and then what any of them may do. */
const allRuns = (batch: AttentionBatch, count: number): AttentionRun[][] => [
  ...plansOf(batch, count).map(({ runs }) => [...runs]),
  [...planAttention(batch, { index: 0, count }).sections],
];

const plansOf = (batch: AttentionBatch, count: number) =>
  Array.from({ length: count }, (_, index) => planAttention(batch, { index, count }));

/** Each query of a run, in the run's order: `sequence kvHead query`. */
function queriesOf({ sequence, firstKvHead, numHeads, firstQuery, headQueries }: SequenceQueries): string[] {
  const heads = Array.from({ length: numHeads }, (_, head) =>
    Array.from({ length: headQueries }, (_, i) => `${sequence} ${firstKvHead + head} ${firstQuery + i}`),
  );
  return heads.flat();
}

/** Each query of the batch. */
function allQueries(batch: AttentionBatch): string[] {
  const { queryStartLoc, seqLens, numKvHeads, numSharing } = batch;
  return [...seqLens.keys()].flatMap((sequence) => {
    const headQueries = (queryStartLoc[sequence + 1]! - queryStartLoc[sequence]!) * numSharing;
    return queriesOf({ sequence, firstKvHead: 0, numHeads: numKvHeads, firstQuery: 0, headQueries });
  });
}

/** Where a query's vector is in q, as the op contract says: [tokens, heads]. */
function placeOf({ queryStartLoc, numKvHeads, numSharing }: AttentionBatch, name: string): number {
  const [sequence, kvHead, query] = name.split(' ').map(Number) as [number, number, number];
  const row = queryStartLoc[sequence]! + Math.floor(query / numSharing);
  return row * numKvHeads * numSharing + kvHead * numSharing + (query % numSharing);
}

const placesOf = (spans: readonly Span[]): number[] =>
  spans.flatMap(({ count, place }) => Array.from({ length: count }, (_, i) => place + i));

const statesOf = ({ firstState, numHeads, headQueries }: AttentionRun): number[] =>
  Array.from({ length: numHeads * headQueries }, (_, i) => firstState + i);

describe('planAttention', () => {
  it('gives every query of every KV head and each of its keys to one part, once', () => {
    fc.assert(
      fc.property(batches(), fc.integer({ min: 1, max: 5 }), (batch, count) => {
        const seen = new Map<string, AttentionRun[]>();
        for (const run of allRuns(batch, count).flat()) {
          for (const query of queriesOf(run)) seen.set(query, [...(seen.get(query) ?? []), run]);
        }
        expect([...seen.keys()].toSorted()).toEqual(allQueries(batch).toSorted());
        for (const runs of seen.values()) {
          // Sections follow one another without a gap.
          const ends = runs.map(({ endKey }) => endKey);
          expect(runs.slice(1).map(({ firstKey }) => firstKey)).toEqual(ends.slice(0, -1));
          expect(runs.length === 1 || runs.every(({ firstState }) => firstState >= 0)).toBe(true);
        }
      }),
    );
  });

  it('divides sections at multiples of 512 keys, each with a place of its own for the states of its queries', () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        const { sections, joins } = planAttention(batch, { index: 0, count: 1 });
        for (const { firstKey, endKey } of sections) {
          expect(Math.floor(firstKey / 512)).toBe(Math.floor((endKey - 1) / 512));
        }
        const numStates = joins.reduce((sum, { count, numSections }) => sum + count * numSections, 0);
        const places = sections.flatMap(statesOf).toSorted((a, b) => a - b);
        expect(places).toEqual(Array.from({ length: numStates }, (_, i) => i));
        expect(numStates).toBeLessThanOrEqual(batch.maxStates);
      }),
    );
  });

  it('joins all sections of each divided query on one part, in their order', () => {
    fc.assert(
      fc.property(batches(), fc.integer({ min: 1, max: 5 }), (batch, count) => {
        const { sections } = planAttention(batch, { index: 0, count });
        const statesByPlace = new Map<number, number[]>();
        for (const section of sections) {
          const places = placesOf(section.spans);
          for (const [i, state] of statesOf(section).entries()) {
            statesByPlace.set(places[i]!, [...(statesByPlace.get(places[i]!) ?? []), state]);
          }
        }
        const joins = plansOf(batch, count).flatMap(({ joins }) => joins);
        const joined = joins.flatMap(({ spans, firstState, sectionStates, numSections }) =>
          placesOf(spans).map((place, i): [number, number[]] => [
            place,
            Array.from({ length: numSections }, (_, section) => firstState + i + section * sectionStates),
          ]),
        );
        expect(joined.length).toBe(statesByPlace.size);
        expect(new Map(joined)).toEqual(statesByPlace);
        for (const { count } of joins) expect(count).toBeLessThanOrEqual(batch.maxQueries);
      }),
    );
  });

  it('puts together what sees the same keys, as far as there is room, and says where its queries lie', () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        const runs = allRuns(batch, 1).flat();
        for (const run of runs) {
          expect(run.numHeads * run.headQueries).toBeLessThanOrEqual(batch.maxQueries);
          expect(placesOf(run.spans)).toEqual(queriesOf(run).map((query) => placeOf(batch, query)));
          expect(run.spans.map(({ first }) => first)).toEqual(
            run.spans.map((_, i) => run.spans.slice(0, i).reduce((sum, { count }) => sum + count, 0)),
          );
        }
        const [first] = runs;
        if (batch.maxQueries >= 28 && batch.seqLens.length === 1 && first?.headQueries === batch.numSharing) {
          const sections = new Set(runs.map(({ firstKey }) => firstKey));
          expect(runs.length).toBe(sections.size);
          expect(runs.every(({ spans }) => spans.length === 1)).toBe(true);
        }
      }),
    );
  });

  it('names exactly the keys that the run sees', () => {
    fc.assert(
      fc.property(batches(), (batch) => {
        for (const run of allRuns({ ...batch, maxStates: 0 }, 1).flat()) {
          const [numRows, seqLen] = [
            batch.queryStartLoc[run.sequence + 1]! - batch.queryStartLoc[run.sequence]!,
            batch.seqLens[run.sequence]!,
          ];
          const positions = Array.from(
            { length: run.headQueries },
            (_, i) => seqLen - numRows + Math.floor((run.firstQuery + i) / batch.numSharing),
          );
          const first = Math.min(...positions.map((position) => Math.max(0, position - batch.window + 1)));
          const end = Math.max(...positions) + 1;
          expect([run.firstKey, run.endKey]).toEqual(seqLen === 0 ? [0, 0] : [first, end]);
          expect(run.firstPosition).toBe(seqLen - numRows);
        }
      }),
    );
  });

  it('splits one token with a long past by its sections, and where there is no room for their states by KV heads', () => {
    const decode = { numKvHeads: 8, numSharing: 4, window: Number.POSITIVE_INFINITY, maxQueries: 64 };
    const long = { ...decode, queryStartLoc: Int32Array.of(0, 1), seqLens: Int32Array.of(4096) };
    const [first, second, sections] = allRuns({ ...long, maxStates: 1000 }, 2);
    expect([first, second]).toEqual([[], []]);
    expect(sections!.map(({ firstKey, endKey, numHeads }) => [firstKey, endKey, numHeads])).toEqual(
      Array.from({ length: 8 }, (_, i) => [512 * i, 512 * (i + 1), 8]),
    );
    const heads = ({ firstKvHead, numHeads }: AttentionRun) => [firstKvHead, numHeads];
    expect(allRuns({ ...long, maxStates: 255 }, 2).map((runs) => runs.map(heads))).toEqual([[[0, 4]], [[4, 4]], []]);
  });

  it('gives threads equal work of a prompt', () => {
    const one = { numSharing: 4, numKvHeads: 1, window: Number.POSITIVE_INFINITY, maxQueries: 64, maxStates: 1000 };
    const prompt = { ...one, queryStartLoc: Int32Array.of(0, 512), seqLens: Int32Array.of(512) };
    const costs = allRuns(prompt, 3)
      .slice(0, 3)
      .map((runs) =>
        runs.reduce((sum, { headQueries, firstKey, endKey }) => sum + headQueries * (endKey - firstKey), 0),
      );
    expect(Math.max(...costs) / Math.min(...costs)).toBeLessThan(1.15);
  });
});

describe('AttentionPlans', () => {
  const shape = { numKvHeads: 2, numSharing: 2, maxQueries: 64, maxStates: 1000 };
  const batch = { ...shape, queryStartLoc: Int32Array.of(0, 1), seqLens: Int32Array.of(30), window: 20 };

  it('makes a plan once for layers that agree, whatever others come between', () => {
    const plans = new AttentionPlans({ index: 0, count: 2 });
    const plan = plans.planFor(batch);
    const wide = plans.planFor({ ...batch, window: Number.POSITIVE_INFINITY });
    expect(wide).not.toEqual(plan);
    expect(plans.planFor({ ...batch, seqLens: Int32Array.of(30) })).toBe(plan);
    expect(plans.planFor({ ...batch, window: Number.POSITIVE_INFINITY })).toBe(wide);
  });

  it('looks at what the arrays hold now', () => {
    const plans = new AttentionPlans({ index: 0, count: 2 });
    const seqLens = Int32Array.of(30);
    const before = plans.planFor({ ...batch, seqLens });
    seqLens[0] = 31;
    const after = plans.planFor({ ...batch, seqLens });
    expect(before.runs.map(({ endKey }) => endKey)).toEqual([30]);
    expect(after.runs.map(({ endKey }) => endKey)).toEqual([31]);
  });
});
