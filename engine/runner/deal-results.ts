/** Deals a step's results out to its sequences, in the order in which `buildBatch` asked for them. */
import type { ForwardBatch, StepResult } from '../model/forward-batch.ts';
import type { RowSummary, SummaryNeeds } from '../sampling/row-summary.ts';
import type { SampleJob, SampleJobResult } from '../sampling/sample-job.ts';
import { SegmentSums, segmentSumsLength } from '../sampling/segment-sums.ts';
import type { SchedulerOutput } from '../scheduler/scheduler-output.ts';
import { numScored, type StepPolicy } from './row-policy.ts';
import type { RowSampling } from './row-sampling.ts';

/** A sequence's share of a step's results. Views of the step's arrays. */
export interface SequenceRows {
  readonly id: number;
  /** Position of the first row in the sequence. A preempted sequence computes its rows again, from 0. */
  readonly position: number;
  readonly samples: boolean;
  /** What was asked for of the row that samples; absent when that was the whole row. */
  readonly summary: RowSummary | undefined;
  /** The whole row, [vocabSize]; empty when it does not sample, or has to be fetched. */
  readonly logits: Float32Array;
  /** Has workers sample from the whole row. Absent: there are none. */
  readonly sampleElsewhere: ((job: SampleJob) => Promise<SampleJobResult>) | undefined;
  /** The whole row, from wherever it is. */
  readonly fetchLogits: () => Promise<Float32Array>;
  readonly logprobs: Float32Array;
  /** [rows, hiddenSize] */
  readonly hiddenStates: Float32Array;
}

export interface DealOptions {
  readonly policy: StepPolicy;
  readonly batch: Pick<ForwardBatch, 'numTop'>;
  /** Takes rows to be sampled whole, where workers do that. */
  readonly rowSampling: RowSampling | undefined;
  readonly vocabSize: number;
  readonly hiddenSize: number;
}

export function* dealResults(
  output: SchedulerOutput,
  result: StepResult,
  { policy, batch, rowSampling, vocabSize, hiddenSize }: DealOptions,
): Generator<SequenceRows> {
  const takeLogits = taker(result.logits);
  const takeTop = taker(result.topLogits);
  const takeSums = taker(result.segmentSums);
  const takeLogprobs = taker(result.logprobs);
  const takeHidden = taker(result.hiddenStates);
  let nextPlace = 0;
  for (const sequence of output.scheduled) {
    const { id, samples, numScheduledTokens, numComputedTokens } = sequence;
    const wanted = policy.rowsWanted(id);
    const isLogitRow = wanted === 'next' && samples;
    const needs = isLogitRow ? policy.needsOf(id) : undefined;
    const place = isLogitRow ? nextPlace++ : -1;
    const logits = takeLogits(isLogitRow ? vocabSize : 0);
    const top = takeTop(isLogitRow ? 2 * batch.numTop : 0);
    const row = result.seesLogits ? logits : undefined;
    const numLogprobs = wanted === 'score' ? numScored(sequence, policy) : 0;
    const numHidden = wanted === 'hidden' ? numScheduledTokens * hiddenSize : 0;
    yield {
      id,
      position: numComputedTokens,
      samples,
      summary: needs && {
        vocabSize,
        row,
        ...summaryOf(needs, top, takeSums(needs.temperatures.length * segmentSumsLength(vocabSize))),
      },
      logits,
      sampleElsewhere: rowSampling && ((job) => rowSampling.add(place, job)),
      fetchLogits: () => result.fetchLogits(place),
      logprobs: takeLogprobs(numLogprobs),
      hiddenStates: takeHidden(numHidden),
    };
  }
}

/** Just what was asked for, though the step may have asked for more: what others want must not change a choice. */
function summaryOf({ numTop, temperatures }: SummaryNeeds, top: Float32Array, sums: Float32Array) {
  const takeSums = taker(sums);
  return {
    top: top.subarray(0, 2 * numTop),
    sums: temperatures.map((temperature) => new SegmentSums(takeSums(sums.length / temperatures.length), temperature)),
  };
}

/** Views of `values` one after another. */
function taker(values: Float32Array): (count: number) => Float32Array {
  let start = 0;
  return (count) => {
    const view = values.subarray(start, start + count);
    start += count;
    return view;
  };
}
