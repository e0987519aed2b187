/** One request as its caller sees it: when each token arrives. */
import type { Engine } from '../../engine/engine.ts';
import type { WorkloadRequest } from './workload.ts';

export interface RequestTiming {
  /** From the call to the first token. */
  readonly ttftMs: number;
  /** Between one token's arrival and the next's. */
  readonly itlMs: readonly number[];
  readonly numNewTokens: number;
  readonly numCachedTokens: number;
}

export interface RequestSettings {
  readonly seed: number;
  /** Keeps one repetition's cached prefixes from the next. */
  readonly cacheSalt: string;
}

export async function timedRequest(
  engine: Pick<Engine, 'generate'>,
  { promptTokenIds, numNewTokens }: WorkloadRequest,
  { seed, cacheSalt }: RequestSettings,
): Promise<RequestTiming> {
  const startMs = performance.now();
  const stream = engine.generate(promptTokenIds, {
    max_tokens: numNewTokens,
    temperature: 0.8,
    top_k: 40,
    top_p: 0.95,
    ignore_eos: true,
    seed,
    cacheSalt,
  });
  let ttftMs = 0;
  let lastMs: number | undefined;
  const itlMs: number[] = [];
  for await (const { tokenIds } of stream) {
    const nowMs = performance.now();
    for (let i = 0; i < tokenIds.length; i++) {
      if (lastMs === undefined) ttftMs = nowMs - startMs;
      else itlMs.push(nowMs - lastMs);
      lastMs = nowMs;
    }
  }
  const { usage } = await stream.result;
  return { ttftMs, itlMs, numNewTokens: usage.numGeneratedTokens, numCachedTokens: usage.numCachedTokens };
}
