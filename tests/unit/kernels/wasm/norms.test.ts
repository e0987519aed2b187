/** Norms and gates of the wasm backend where conformance does not go: weights of other dtypes, rows with a large mean,
 * activations without bounds. */
import { afterAll, describe, expect, it } from 'vitest';
import type { KernelBackend } from '../../../../engine/kernels/kernel-backend.ts';
import { ReferenceBackend } from '../../../../engine/kernels/reference/reference-backend.ts';
import { WasmBackend } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import { findMismatch } from '../../../conformance/compare.ts';
import { withWorkspace } from '../../../conformance/workspace.ts';
import { randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';

const backend = new WasmBackend();
const reference = new ReferenceBackend();
afterAll(async () => {
  await backend.close();
  await reference.close();
});

function norm(
  of: KernelBackend,
  op: 'rmsNorm' | 'layerNorm',
  { dtype, N, x }: { readonly dtype?: FloatDType; readonly N: number; readonly x: Float32Array },
): Promise<Float32Array> {
  return withWorkspace(of, async (work) => {
    const vector = (seed: number) => work.weight(dtype!, [N], randomWeightBytes(dtype!, seed, N));
    const [weight, bias] = dtype === undefined ? [undefined, undefined] : [await vector(1), await vector(2)];
    const out = work.output([x.length / N, N]);
    work.run(op, { x: work.floats([x.length / N, N], x), weight, bias, eps: 1e-5, out } as never);
    return work.read(out);
  });
}

describe.each(['rmsNorm', 'layerNorm'] as const)('%s', (op) => {
  it.each(['f32', 'f16', 'bf16', 'q8_0', 'q4_k'] as const)('takes weights and biases in %s', async (dtype) => {
    for (const N of dtype === 'q8_0' || dtype === 'q4_k' ? [512] : [1, 21, 512]) {
      const x = randomValues(3, 3 * N, 2);
      // One feature has no variance.
      if (op === 'layerNorm' && N === 1) continue;
      const [actual, expected] = [await norm(backend, op, { dtype, N, x }), await norm(reference, op, { dtype, N, x })];
      expect(findMismatch(actual, expected, 1e-5), `${N} features`).toBeUndefined();
    }
    const tensor = backend.allocate('f32', [1, 64], 'scratch');
    const weight = backend.allocate(dtype, [dtype === 'q4_k' ? 256 : 64], 'weights');
    expect(backend.isNative(op, { x: tensor, weight, eps: 0, out: tensor })).toBe(true);
    for (const allocated of [tensor, weight]) backend.free(allocated);
  });

  it('passes NaN and infinities on, in their row only', async () => {
    const N = 40;
    const x = randomValues(4, 4 * N);
    x[3] = Number.NaN;
    x[N + 39] = Infinity;
    x[2 * N] = -Infinity;
    const [actual, expected] = [await norm(backend, op, { N, x }), await norm(reference, op, { N, x })];
    expect(findMismatch(actual, expected, 1e-5)).toBeUndefined();
    expect(actual.subarray(3 * N).every(Number.isFinite)).toBe(true);
  });
});

it('layerNorm keeps the digits of rows whose mean is a hundred thousand times their spread', async () => {
  const N = 300;
  const x = randomValues(5, 2 * N).map((value) => 1e5 + value);
  const [actual, expected] = [await norm(backend, 'layerNorm', { N, x }), await norm(reference, 'layerNorm', { N, x })];
  expect(findMismatch(actual, expected, 1e-5)).toBeUndefined();
});

it.each(['siluMul', 'geluMul'] as const)('%s is right for gates of any finite size, and NaN for NaN', async (op) => {
  const magnitudes = Array.from({ length: 76 }, (_, i) => 10 ** (i - 38));
  const gates = Float32Array.from([
    0,
    -0,
    Number.NaN,
    Infinity,
    ...magnitudes,
    ...magnitudes.map((x) => -x),
    -87.5,
    -88,
    -104,
  ]);
  const run = (of: KernelBackend) =>
    withWorkspace(of, async (work) => {
      const [gate, up] = [
        work.floats([1, gates.length], gates),
        work.floats(
          [1, gates.length],
          gates.map(() => 1),
        ),
      ];
      const out = work.output([1, gates.length]);
      work.run(op, { gate, up, out });
      return work.read(out);
    });
  const [actual, expected] = [await run(backend), await run(reference)];
  for (const [i, gate] of gates.entries()) {
    if (!Number.isFinite(gate)) expect(Object.is(actual[i], expected[i]), `${gate}`).toBe(true);
    else
      expect(Math.abs(actual[i]! - expected[i]!), `${gate}`).toBeLessThanOrEqual(
        1e-6 * Math.max(Math.abs(expected[i]!), 1e-3),
      );
  }
});
