/** The ops without attention or rope, against naive formulas and by hand. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { quantFormat } from '../../../engine/tensor/quant/quant-registry.ts';
import { type Workspace, withWorkspace } from '../../conformance/workspace.ts';
import {
  numTokens,
  randomInts,
  randomValues,
  randomWeightBytes,
  seed,
  size,
  weightRow,
} from '../../helpers/arbitraries-kernels.ts';
import { dot, findFarValue, mean, rowsOf } from './naive.ts';

const backend = new ReferenceBackend();
afterAll(() => backend.close());

const rows = fc.record({ T: numTokens(), N: size(), scale: fc.constantFrom(1e-4, 1, 50), seed: seed() });
type Rows = { T: number; N: number; scale: number; seed: number };

/** Asserts that what `run` computes is what `naive` says, for random rows x, second rows y and vectors w and b. */
function agreesWith(
  naive: (x: number[][], y: number[][], w: number[], b: number[]) => number[][],
  run: (
    work: Workspace,
    inputs: { x: Float32Array; y: Float32Array; w: Float32Array; b: Float32Array } & Rows,
  ) => Promise<Float32Array>,
) {
  return fc.assert(
    fc.asyncProperty(rows, async (p) => {
      const x = randomValues(p.seed, p.T * p.N, p.scale);
      const y = randomValues(p.seed + 1, p.T * p.N);
      const w = randomValues(p.seed + 2, p.N);
      const b = randomValues(p.seed + 3, p.N);
      const actual = await withWorkspace(backend, (work) => run(work, { ...p, x, y, w, b }));
      const expected = naive(rowsOf(x, p.N), rowsOf(y, p.N), [...w], [...b]).flat();
      expect(findFarValue(actual, expected)).toBeUndefined();
    }),
  );
}

describe('rmsNorm', () => {
  it('divides by the root of the mean square and multiplies by the weight', () =>
    agreesWith(
      (x, _, w) => x.map((row) => row.map((v, i) => (v / Math.sqrt(mean(row.map((u) => u ** 2)) + 1e-5)) * w[i]!)),
      async (work, { T, N, x, w }) => {
        const out = work.output([T, N]);
        work.run('rmsNorm', { x: work.floats([T, N], x), weight: work.floats([N], w), eps: 1e-5, out });
        return work.read(out);
      },
    ));

  it('survives rows whose squares overflow f32, and makes zeros of zeros', () =>
    withWorkspace(backend, async (work) => {
      const x = work.floats([2, 2], Float32Array.of(1e30, 1e30, 0, 0));
      work.run('rmsNorm', { x, eps: 1e-5, out: x });
      expect([...(await work.read(x))]).toEqual([1, 1, 0, 0]);
    }));
});

describe('layerNorm', () => {
  it('subtracts the mean, divides by the standard deviation, applies weight and bias', () =>
    agreesWith(
      (x, _, w, b) =>
        x.map((row) => {
          const center = mean(row);
          const deviation = Math.sqrt(mean(row.map((v) => (v - center) ** 2)) + 1e-3);
          return row.map((v, i) => ((v - center) / deviation) * w[i]! + b[i]!);
        }),
      async (work, { T, N, x, w, b }) => {
        const out = work.output([T, N]);
        const [weight, bias] = [work.floats([N], w), work.floats([N], b)];
        work.run('layerNorm', { x: work.floats([T, N], x), weight, bias, eps: 1e-3, out });
        return work.read(out);
      },
    ));

  // A one-pass variance, mean(x^2) - mean(x)^2, would lose every digit here.
  it('keeps its digits under a large mean', () =>
    withWorkspace(backend, async (work) => {
      const x = work.floats([1, 4], Float32Array.of(1e7 - 1, 1e7 + 1, 1e7 - 1, 1e7 + 1));
      work.run('layerNorm', { x, eps: 0, out: x });
      expect([...(await work.read(x))]).toEqual([-1, 1, -1, 1]);
    }));
});

describe('siluMul', () => {
  it('is gate * sigmoid(gate) * up', () =>
    agreesWith(
      (x, y) => x.map((row, r) => row.map((v, i) => v * (1 / (1 + Math.exp(-v))) * y[r]![i]!)),
      async (work, { T, N, x, y }) => {
        const out = work.floats([T, N], y);
        work.run('siluMul', { gate: work.floats([T, N], x), up: out, out });
        return work.read(out);
      },
    ));

  it('fades to 0 for very negative gates', () =>
    withWorkspace(backend, async (work) => {
      const gate = work.floats([1, 2], Float32Array.of(-1000, -1e38));
      work.run('siluMul', { gate, up: work.floats([1, 2], Float32Array.of(1, 1)), out: gate });
      expect([...(await work.read(gate))].map(Math.abs)).toEqual([0, 0]);
    }));
});

describe('geluMul', () => {
  it('is the tanh approximation times up', () =>
    agreesWith(
      (x, y) =>
        x.map((row, r) =>
          // tanh through the logistic function: (1 + tanh(z)) / 2 = 1 / (1 + e^(-2z))
          row.map((v, i) => (v / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))) * y[r]![i]!),
        ),
      async (work, { T, N, x, y }) => {
        const out = work.output([T, N]);
        work.run('geluMul', { gate: work.floats([T, N], x), up: work.floats([T, N], y), out });
        return work.read(out);
      },
    ));

  it('is close to the exact GELU', () =>
    withWorkspace(backend, async (work) => {
      const gate = work.floats([1, 3], Float32Array.of(1, -1, 2));
      work.run('geluMul', { gate, up: work.floats([1, 3], Float32Array.of(1, 1, 1)), out: gate });
      // x * Phi(x), Phi from a table of the normal distribution.
      const exact = [0.841345, -0.158655, 1.9545];
      expect(findFarValue(await work.read(gate), exact, 5e-4)).toBeUndefined();
    }));
});

describe('add', () => {
  it('rounds like f32, in any shape', () =>
    withWorkspace(backend, async (work) => {
      const a = work.floats([2, 1, 2], Float32Array.of(1, 16_777_216, -0.5, 1e38));
      const b = work.floats([2, 1, 2], Float32Array.of(2, 1, 0.25, 3e38));
      work.run('add', { a, b, out: a });
      expect([...(await work.read(a))]).toEqual([3, 16_777_216, -0.25, Number.POSITIVE_INFINITY]);
    }));
});

describe('gatherRows', () => {
  it('copies rows in the order asked, repeated ones too', () =>
    withWorkspace(backend, async (work) => {
      const x = work.floats([3, 2], Float32Array.of(0, 1, 10, 11, 20, 21));
      const out = work.output([4, 2]);
      work.run('gatherRows', { x, rows: work.ints([4], [2, 0, 0, 1]), out });
      expect([...(await work.read(out))]).toEqual([20, 21, 0, 1, 0, 1, 10, 11]);
    }));

  it.each([-1, 3])('refuses row %i of 3', (row) =>
    withWorkspace(backend, async (work) => {
      const [x, rows, out] = [work.zeros('f32', [3, 2]), work.ints([2], [0, row]), work.zeros('f32', [2, 2])];
      expect(() => work.run('gatherRows', { x, rows, out })).toThrow(InvalidArgumentError);
      expect(() => work.run('gatherRows', { x, rows, out })).toThrow('gatherRows rows[1]: must be from 0 to 2');
    }),
  );
});

describe('embed', () => {
  it('gives the dequantized rows, bit for bit, in every format', () =>
    fc.assert(
      fc.asyncProperty(weightRow(), size(17), seed(), async ({ dtype, rowLength }, V, seed) => {
        const bytes = randomWeightBytes(dtype, seed, V * rowLength);
        const format = quantFormat(dtype);
        const table = new Float32Array(V * rowLength);
        format.dequantize(bytes, 0, table, 0, table.length / format.blockSize);
        const ids = randomInts(seed + 1, 5, V);
        const actual = await withWorkspace(backend, async (work) => {
          const out = work.output([5, rowLength]);
          const weight = await work.weight(dtype, [V, rowLength], bytes);
          work.run('embed', { tokenIds: work.ints([5], ids), weight, out });
          return work.read(out);
        });
        for (const [t, id] of ids.entries()) {
          const row = table.subarray(id * rowLength, (id + 1) * rowLength);
          expect(actual.slice(t * rowLength, (t + 1) * rowLength)).toEqual(row);
        }
      }),
    ));

  it.each([-1, 3, 2 ** 31 - 1])('refuses token id %i of 3, and writes nothing', (id) =>
    withWorkspace(backend, async (work) => {
      const weight = work.floats([3, 2], new Float32Array(6));
      const out = work.floats([2, 2], Float32Array.of(7, 7, 7, 7));
      const tokenIds = work.ints([2], [0, id]);
      expect(() => work.run('embed', { tokenIds, weight, out })).toThrow(InvalidArgumentError);
      expect(() => work.run('embed', { tokenIds, weight, out })).toThrow(
        `embed tokenIds[1]: must be from 0 to 2, got ${id}`,
      );
      expect([...(await work.read(out))]).toEqual([7, 7, 7, 7]);
    }),
  );
});

describe('matmul', () => {
  it('is the dot product with each dequantized weight row, in every format', () =>
    fc.assert(
      fc.asyncProperty(weightRow(), numTokens(), size(17), seed(), async ({ dtype, rowLength: K }, T, N, seed) => {
        const bytes = randomWeightBytes(dtype, seed, N * K);
        const format = quantFormat(dtype);
        const dequantized = new Float32Array(N * K);
        format.dequantize(bytes, 0, dequantized, 0, dequantized.length / format.blockSize);
        const x = randomValues(seed + 1, T * K);
        const b = randomValues(seed + 2, N);
        const actual = await withWorkspace(backend, async (work) => {
          const out = work.output([T, N]);
          const weight = await work.weight(dtype, [N, K], bytes);
          work.run('matmul', { x: work.floats([T, K], x), weight, bias: work.floats([N], b), out });
          return work.read(out);
        });
        const weightRows = rowsOf(dequantized, K);
        const expected = rowsOf(x, K).flatMap((row) => weightRows.map((weights, n) => dot(row, weights) + b[n]!));
        expect(findFarValue(actual, expected)).toBeUndefined();
      }),
    ));

  // An f32 sum of these would be 0: the small terms vanish beside the large one before it cancels.
  it('sums in float64', () =>
    withWorkspace(backend, async (work) => {
      const x = work.floats([1, 4], Float32Array.of(1e8, 1, 1, -1e8));
      const weight = work.floats([1, 4], Float32Array.of(1, 1, 1, 1));
      const out = work.output([1, 1]);
      work.run('matmul', { x, weight, out });
      expect((await work.read(out))[0]).toBe(2);
    }));

  it('carries NaN and infinity to the outputs that use them, and to no other', () =>
    withWorkspace(backend, async (work) => {
      const x = work.floats([2, 2], Float32Array.of(Number.NaN, 1, Number.POSITIVE_INFINITY, 1));
      const weight = work.floats([2, 2], Float32Array.of(1, 1, 2, 1));
      const out = work.output([2, 2]);
      work.run('matmul', { x, weight, out });
      expect([...(await work.read(out))]).toEqual([Number.NaN, Number.NaN, Infinity, Infinity]);
    }));

  it('does nothing for a batch of no tokens', () =>
    withWorkspace(backend, async (work) => {
      const out = work.output([0, 3]);
      work.run('matmul', { x: work.output([0, 2]), weight: work.floats([3, 2], new Float32Array(6)), out });
      expect(await work.read(out)).toEqual(new Float32Array(0));
    }));
});
