import { describe, expect, it } from 'vitest';
import type { StepResult } from '../../../engine/model/forward-batch.ts';
import { buildBatch } from '../../../engine/runner/batch-builder.ts';
import { dealResults } from '../../../engine/runner/deal-results.ts';
import type { RowsWanted, StepPolicy } from '../../../engine/runner/row-policy.ts';
import type { SummaryNeeds } from '../../../engine/sampling/row-summary.ts';
import type { ScheduledSequence, SchedulerOutput } from '../../../engine/scheduler/scheduler-output.ts';

const BLOCK_SIZE = 4;

/** Ids 10, 20, 30 ... name sequences; prompts are 1, 2, 3, ... */
function scheduled(id: number, from: number, to: number, samples: boolean, blockTable: number[]): ScheduledSequence {
  const tokenIds = Int32Array.from({ length: to - from }, (_, i) => from + i + 1);
  const numScheduledTokens = to - from;
  return {
    id,
    numComputedTokens: from,
    numScheduledTokens,
    tokenIds,
    samples,
    blockTable: Int32Array.from(blockTable),
  };
}

function output(...sequences: ScheduledSequence[]): SchedulerOutput {
  return {
    stepIndex: 1,
    scheduled: sequences,
    numScheduledTokens: sequences.reduce((sum, { numScheduledTokens }) => sum + numScheduledTokens, 0),
    blockCopies: [{ source: 3, target: 8 }],
    preemptedIds: [],
    finishedIds: [],
  };
}

function policy(
  wanted: Record<number, RowsWanted>,
  numPromptTokens = 9,
  needs: Record<number, SummaryNeeds> = {},
): StepPolicy {
  return {
    needsOf: (id) => needs[id],
    rowsWanted: (id) => wanted[id] ?? 'next',
    promptOf: () => ({ tokenIds: Array.from({ length: numPromptTokens }, (_, i) => i + 1), numPromptTokens }),
  };
}

const step = output(
  scheduled(10, 0, 4, false, [5]),
  scheduled(20, 9, 10, true, [2, 7, 1]),
  scheduled(30, 4, 6, true, [6, 4]),
);

describe('buildBatch', () => {
  it('is the picture in forward-batch.ts', () => {
    const batch = buildBatch(step, BLOCK_SIZE, policy({}));
    expect(batch).toMatchObject({ numTokens: 7, numSeqs: 3, maxBlocksPerSeq: 3 });
    expect([...batch.tokenIds]).toEqual([1, 2, 3, 4, 10, 5, 6]);
    expect([...batch.positions]).toEqual([0, 1, 2, 3, 9, 4, 5]);
    expect([...batch.queryStartLoc]).toEqual([0, 4, 5, 7]);
    expect([...batch.seqLens]).toEqual([4, 10, 6]);
    expect([...batch.slotMapping]).toEqual([20, 21, 22, 23, 5, 16, 17]);
    expect([...batch.blockTables]).toEqual([5, 0, 0, 2, 7, 1, 6, 4, 0]);
    expect([...batch.outputRows]).toEqual([4, 6]);
    expect([...batch.logitRows]).toEqual([0, 1]);
    expect([...batch.blockCopies]).toEqual([3, 8]);
    expect([batch.scoreRows.length, batch.hiddenRows.length]).toEqual([0, 0]);
  });

  it('a scored sequence wants the probability of each next token of its prompt, and none after the last', () => {
    const batch = buildBatch(step, BLOCK_SIZE, policy({ 10: 'score', 30: 'score' }, 6));
    expect([...batch.outputRows]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...batch.scoreRows]).toEqual([0, 1, 2, 3, 5]);
    expect([...batch.scoreTokenIds]).toEqual([2, 3, 4, 5, 6]);
    expect([...batch.logitRows]).toEqual([4]);
  });

  it('an embedded sequence wants all its hidden states', () => {
    const batch = buildBatch(step, BLOCK_SIZE, policy({ 30: 'hidden' }));
    expect([...batch.outputRows]).toEqual([4, 5, 6]);
    expect([...batch.hiddenRows]).toEqual([1, 2]);
    expect([...batch.logitRows]).toEqual([0]);
  });
});

const NOTHING: StepResult = {
  logits: new Float32Array(0),
  seesLogits: true,
  topLogits: new Float32Array(0),
  segmentSums: new Float32Array(0),
  logprobs: new Float32Array(0),
  hiddenStates: new Float32Array(0),
  fetchLogits: () => Promise.reject(new Error('there are none')),
};

describe('rows that sample', () => {
  const two = output(
    scheduled(10, 8, 9, true, [5, 1, 2]),
    scheduled(20, 0, 4, false, [2]),
    scheduled(30, 4, 6, true, [6, 4]),
  );
  const needs = { 10: { numTop: 1, temperatures: [] }, 30: { numTop: 2, temperatures: [1, 0.5] } };

  it('are summarized as the neediest wants, and whole when somebody wants that', () => {
    const batch = buildBatch(two, BLOCK_SIZE, policy({}, 9, needs));
    expect([...batch.outputRows]).toEqual([0, 6]);
    expect([...batch.logitRows]).toEqual([0, 1]);
    expect(batch).toMatchObject({ numTop: 2, sumTemperatures: [1, 0.5], wantsLogits: false });
    expect([...batch.sumRows]).toEqual([1, 1]);
    expect(buildBatch(two, BLOCK_SIZE, policy({}, 9, { 10: needs[10] }))).toMatchObject({
      numTop: 1,
      wantsLogits: true,
    });
  });

  it('each get their own summary, and no more than they asked for', async () => {
    const stepPolicy = policy({}, 9, needs);
    const batch = buildBatch(two, BLOCK_SIZE, stepPolicy);
    const result: StepResult = {
      ...NOTHING,
      seesLogits: false,
      topLogits: Float32Array.of(7, 0.7, 8, 0.6, 1, 0.5, 2, 0.4),
      segmentSums: Float32Array.of(0.5, 2, 0.25, 0.5, 3, 0),
      fetchLogits: async (place) => Float32Array.of(place),
    };
    const dealt = [
      ...dealResults(two, result, { policy: stepPolicy, batch, rowSampling: undefined, vocabSize: 10, hiddenSize: 2 }),
    ];
    const [first, none, last] = dealt.map(({ summary }) => summary);
    expect([...first!.top]).toEqual([7, Math.fround(0.7)]);
    expect([first!.sums, none, first!.row]).toEqual([[], undefined, undefined]);
    expect([...last!.top]).toEqual([1, 0.5, 2, Math.fround(0.4)]);
    expect(last!.sums.map((sums) => [sums.temperature, sums.max, sums.total()])).toEqual([
      [1, 0.5, 2.25],
      [0.5, 0.5, 3],
    ]);
    expect(await dealt[2]!.fetchLogits()).toEqual(Float32Array.of(1));
  });
});

describe('dealResults', () => {
  it('gives each sequence what it asked for', () => {
    const mixed = policy({ 10: 'score', 30: 'hidden' }, 9);
    const result: StepResult = {
      ...NOTHING,
      logits: Float32Array.of(1, 2, 3),
      logprobs: Float32Array.of(-1, -2, -3, -4),
      hiddenStates: Float32Array.of(7, 7, 8, 8),
    };
    const dealt = [
      ...dealResults(step, result, {
        policy: mixed,
        batch: { numTop: 0 },
        rowSampling: undefined,
        vocabSize: 3,
        hiddenSize: 2,
      }),
    ];
    expect(dealt.map(({ id, position, samples }) => [id, position, samples])).toEqual([
      [10, 0, false],
      [20, 9, true],
      [30, 4, true],
    ]);
    expect(dealt.map(({ logits }) => [...logits])).toEqual([[], [1, 2, 3], []]);
    expect(dealt.map(({ logprobs }) => [...logprobs])).toEqual([[-1, -2, -3, -4], [], []]);
    expect(dealt.map(({ hiddenStates }) => [...hiddenStates])).toEqual([[], [], [7, 7, 8, 8]]);
  });
});
