/** What a step of generation reads at least, and what becomes of it in the results. */
import { describe, expect, it } from 'vitest';
import { type BenchFacts, benchLines, benchRecord } from '../../../cli/bench/bench-result.ts';
import { bytesPerStep, deviceFacts } from '../../../cli/bench/memory-traffic.ts';
import type { TensorReport } from '../../../engine/inspect/model-report.ts';
import type { ModelConfig } from '../../../engine/model/model-config.ts';

const CONFIG = { numLayers: 2, numKvHeads: 3, headDim: 32 } as ModelConfig;
const TEST = { kind: 'tg', numTokens: 10, batch: 4, depth: 16 } as const;
/** Keys and values of 2 layers, 3 heads of 32 numbers, for 4 sequences of 16 tokens and half of 10. */
const KV_NUMBERS = 2 * 2 * 3 * 32 * 4 * 21;

function report(...names: string[]) {
  const tensors = names.map((name, i) => ({ name, numBytes: 1000 * 10 ** i }) as TensorReport);
  return { tensors, numTensorBytes: tensors.reduce((sum, { numBytes }) => sum + numBytes, 0) };
}

describe('bytes of a step', () => {
  it.each([
    ['an embedding that is the output matrix too', ['token_embd.weight', 'blk.0.attn_q.weight'], 11_000],
    ['an embedding of which a row is read', ['token_embd.weight', 'output.weight', 'blk.0.attn_q.weight'], 110_000],
    ['the names of a folder', ['model.embed_tokens.weight', 'lm_head.weight', 'model.norm.weight'], 110_000],
  ])('with %s', (_, names, weights) => {
    expect(bytesPerStep(report(...names), CONFIG, { test: TEST, kvDtype: 'f32' })).toBe(weights + 4 * KV_NUMBERS);
    const inQ8 = bytesPerStep(report(...names), CONFIG, { test: TEST, kvDtype: 'q8_0' });
    expect(inQ8).toBe(weights + (34 / 32) * KV_NUMBERS);
  });

  it('show as a share of what the GPU copies, where one computes', async () => {
    const facts = {
      model: 'm',
      numParameters: 1,
      modelBytes: 1,
      features: {},
      device: 'H',
      copyBandwidth: 200e9,
    } as unknown as BenchFacts;
    // 4 sequences at 400 tokens a second are 100 steps, of 1 GB each.
    const result = { test: TEST, samples: [400, 300, 500], bytesPerStep: 1e9 };
    expect(benchRecord(facts, result)).toMatchObject({ readGbPerSecond: 100, percentOfCopy: 50 });
    expect(benchLines(facts, [result]).join('\n')).toMatch(
      /H copies 200.00 GB\/s[\s\S]*GB\/s read +of copying\n.* 100.00 +50.00 %$/,
    );
    const { device: _, copyBandwidth, ...onCpu } = facts;
    expect(benchRecord(onCpu as BenchFacts, result)).not.toHaveProperty('percentOfCopy');
    expect(benchLines(onCpu as BenchFacts, [result]).join('\n')).not.toMatch(/copy/);
    expect(await deviceFacts('wasm')).toBeUndefined();
  });
});
