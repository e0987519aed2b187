/** What a backend can say of the rows of logits that it computed. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { SummarySupport } from '../sampling/row-summary.ts';
import { SEGMENT_SIZE } from '../sampling/segment-sums.ts';
import { MAX_TOP } from '../sampling/summary-strategy.ts';
import type { ModelMemory } from './model-memory.ts';

export function summarySupportOf(backend: KernelBackend, { inputs, activations }: ModelMemory): SummarySupport {
  const logits = activations.logits.slice(0, 1);
  const most = Math.min(MAX_TOP, logits.shape[1]!);
  const hasTop = (numTop: number): boolean => {
    const out = activations.topLogits.slice(0, numTop * 2).reshape([1, numTop, 2]);
    return backend.supports('topLogits', { logits, out }) === true;
  };
  const out = activations.segmentSums.slice(0, 1);
  const sums = { logits, rows: inputs.sumRows.slice(0, 1), temperatures: [1], segmentSize: SEGMENT_SIZE, out };
  return {
    maxTop: [most, Math.min(64, most), 1].find(hasTop) ?? 0,
    sums: backend.supports('softmaxSums', sums) === true,
    rows: backend.view !== undefined,
  };
}
