/** Runs token ids through a model on the reference backend and gathers all logits. */
import { ReferenceBackend } from '../../engine/kernels/reference/reference-backend.ts';
import type { KvDType } from '../../engine/kvcache/kv-cache-storage.ts';
import { loadModel } from '../../engine/loader/load-model.ts';
import type { LoadedModel } from '../../engine/loader/loaded-model.ts';
import { scoreTokens } from '../../engine/runner/single-sequence.ts';

export interface Scored {
  /** One row of logits per prompt token, then one per generated token fed back. */
  readonly rows: Float32Array[];
  readonly generated: number[];
}

export async function withModel<T>(
  path: string,
  use: (model: LoadedModel) => Promise<T>,
  tokenizerPath?: string,
): Promise<T> {
  const backend = new ReferenceBackend();
  try {
    return await use(await loadModel(path, backend, { tokenizerPath }));
  } finally {
    await backend.close();
  }
}

export async function score(
  model: LoadedModel,
  tokens: readonly number[],
  generate: number,
  kvDtype: KvDType = 'f32',
): Promise<Scored> {
  const { vocabSize } = model.config;
  const rows: Float32Array[] = [];
  const generated: number[] = [];
  for await (const step of scoreTokens(model, { tokens, generate, kvDtype })) {
    for (let at = 0; at < step.rows.length; at += vocabSize) rows.push(step.rows.slice(at, at + vocabSize));
    if (step.next !== undefined) generated.push(step.next);
  }
  return { rows, generated };
}

/** The largest absolute difference; Infinity when lengths differ or something is not a number. */
export function maxDifference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let max = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= max)) max = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return max;
}
