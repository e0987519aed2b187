/** Summaries of rows, made the plain way. */
import type { RowSummary, SummaryNeeds, SummarySupport } from '../../../engine/sampling/row-summary.ts';
import { SEGMENT_SIZE, SegmentSums } from '../../../engine/sampling/segment-sums.ts';
import { naiveOrder } from './naive-sampling.ts';

/** Where everything can be had. */
export const ALL: SummarySupport = { maxTop: Number.POSITIVE_INFINITY, sums: true, rows: true };

/** @param disturb  multiplies each sum: a summary may be off by what backends are allowed */
export function summaryOf(row: Float32Array, needs: SummaryNeeds, disturb: () => number = () => 1): RowSummary {
  const keys = [...row].map((logit) => (Number.isNaN(logit) ? Number.NEGATIVE_INFINITY : logit));
  const best = naiveOrder(keys).slice(0, needs.numTop);
  return {
    vocabSize: row.length,
    row,
    top: Float32Array.from(best.flatMap((id) => [id, keys[id]!])),
    sums: needs.temperatures.map((temperature) => sumsOf(keys, temperature, disturb)),
  };
}

function sumsOf(keys: readonly number[], temperature: number, disturb: () => number): SegmentSums {
  const values: number[] = [];
  for (let start = 0; start < keys.length; start += SEGMENT_SIZE) {
    const segment = keys.slice(start, start + SEGMENT_SIZE);
    const max = Math.max(...segment);
    const weights = segment.map((key) => (Number.isFinite(max) ? Math.exp((key - max) / temperature) : 0));
    const sum = weights.reduce((a, b) => a + b) * disturb();
    values.push(max, Math.fround(sum), sum - Math.fround(sum));
  }
  return new SegmentSums(Float32Array.from(values), temperature);
}
