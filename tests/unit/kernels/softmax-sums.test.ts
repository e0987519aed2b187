/** softmaxSums is promised to f64's precision: a draw is decided by what f32 no longer holds. */
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import type { KernelBackend } from '../../../engine/kernels/kernel-backend.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { WasmBackend } from '../../../engine/kernels/wasm/wasm-backend.ts';
import { createWebGpuBackend } from '../../../engine/kernels/webgpu/webgpu-backend.ts';
import { withWorkspace } from '../../conformance/workspace.ts';
import { randomValues, seed } from '../../helpers/arbitraries-kernels.ts';
import { hasGpu } from '../../helpers/gpu.ts';

const BACKENDS: Record<string, KernelBackend> = {
  reference: new ReferenceBackend(),
  wasm: new WasmBackend(),
  'wasm, portable numerics': new WasmBackend({ numerics: 'portable' }),
};

if (hasGpu) BACKENDS.webgpu = await createWebGpuBackend();

afterAll(async () => {
  for (const backend of Object.values(BACKENDS)) await backend.close();
});

it.each(Object.keys(BACKENDS))('%s: sums are within 2^-44', async (name) => {
  const parameters = fc.record({
    numTokens: fc.integer({ min: 1, max: 300 }),
    temperature: fc.double({ min: 0.01, max: 5, noNaN: true }),
    scale: fc.constantFrom(1e-3, 1, 8, 60),
    seed: seed(),
  });
  await fc.assert(
    fc.asyncProperty(parameters, async ({ numTokens, temperature, scale, seed }) => {
      const values = randomValues(seed, numTokens, scale);
      const [max, high, low] = await withWorkspace(BACKENDS[name]!, async (work) => {
        const out = work.output([1, 1, 3]);
        work.run('softmaxSums', {
          logits: work.floats([1, numTokens], values),
          rows: work.ints([1], [0]),
          temperatures: [temperature],
          segmentSize: 300,
          out,
        });
        return work.read(out);
      });
      expect(max).toBe(Math.max(...values));
      // Smallest first, so that the expected sum is rounded as little as can be.
      const terms = [...values].map((value) => Math.exp((value - max!) / temperature)).sort((a, b) => a - b);
      const expected = terms.reduce((sum, term) => sum + term, 0);
      expect(Math.abs(high! + low! - expected) / expected).toBeLessThan(2 ** -44);
    }),
  );
});
