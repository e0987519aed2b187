/** Weights with rows so long that they are cut into slices, and more groups of rows than a band has. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { packedFormat } from '../../../../engine/kernels/wasm/packing/format-registry.ts';
import { packedByteLength } from '../../../../engine/kernels/wasm/packing/packed-format.ts';
import { layoutOf, runEnd, sliceStart } from '../../../../engine/kernels/wasm/packing/slices.ts';
import { WasmBackend } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import { dequantize } from '../../../../engine/tensor/quant/codec.ts';
import type { Tensor } from '../../../../engine/tensor/tensor.ts';
import { randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';

const PACKED = ['q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k', 'f32', 'f16', 'bf16'] as const;
const [NUM_ROWS, ROW_LENGTH] = [8 * 33 + 3, 2560];

describe('the layout of packed weights', () => {
  it('has a place for every part of every group, in runs', () => {
    const parameters = fc.record({
      dtype: fc.constantFrom(...PACKED),
      numGroups: fc.integer({ min: 1, max: 100 }),
      superBlocks: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(parameters, ({ dtype, numGroups, superBlocks }) => {
        const [format, rowLength] = [packedFormat(dtype)!, 256 * superBlocks];
        const layout = layoutOf(format, rowLength, numGroups);
        const { byteLength, pairStep } = format.record;
        // Groups that share records take their place together.
        const atOnce = pairStep === undefined ? 1 : 2;
        const parts = layout.slices.flatMap((slice) =>
          Array.from({ length: Math.ceil(numGroups / atOnce) }, (_, i) => {
            const group = i * atOnce;
            const [start, bytes] = [sliceStart(layout, group, slice), atOnce * slice.count * byteLength];
            if (pairStep !== undefined) expect(sliceStart(layout, group + 1, slice)).toBe(start + pairStep);
            const next = group + atOnce;
            if (next < runEnd(layout, group)) expect(sliceStart(layout, next, slice)).toBe(start + bytes);
            return { start, end: start + bytes };
          }),
        );
        parts.sort((a, b) => a.start - b.start);
        parts.forEach(({ start }, i) => {
          expect(start).toBe(i === 0 ? 0 : parts[i - 1]!.end);
        });
        expect(parts.at(-1)!.end).toBe(packedByteLength(format, 8 * numGroups, rowLength));
      }),
    );
  });

  it('cuts rows of the test below in every format but f32', () => {
    for (const dtype of PACKED.filter((dtype) => dtype !== 'f32')) {
      expect(layoutOf(packedFormat(dtype)!, ROW_LENGTH, 1).slices.length, dtype).toBeGreaterThan(1);
    }
  });
});

describe('a weight in slices', () => {
  const backends = [new WasmBackend(), new WasmBackend({ revectorize: 'off' })];
  afterAll(() => Promise.all(backends.map((backend) => backend.close())));

  const floats = (of: WasmBackend, shape: readonly number[], values: Float32Array): Tensor => {
    const tensor = of.allocate('f32', shape, 'scratch');
    of.upload(tensor, values);
    return tensor;
  };

  // q5_1 has no kernels: its rows are dequantized for those of f32.
  it.each([...PACKED, 'q5_1'] as const)(
    'of %s gives a token the same bits alone and among many, with 128 bits and with 256',
    async (dtype: FloatDType) => {
      const bytes = randomWeightBytes(dtype, 1, NUM_ROWS * ROW_LENGTH);
      const values = dequantize(dtype, bytes, NUM_ROWS * ROW_LENGTH);
      const x = randomValues(2, 161 * ROW_LENGTH);
      const lengthOfX = Math.hypot(...x.subarray(0, ROW_LENGTH));
      let first: Float32Array | undefined;
      for (const backend of backends) {
        const weight = await backend.loadWeight(dtype, [NUM_ROWS, ROW_LENGTH], async (start, target) => {
          target.set(bytes.subarray(start, start + target.length));
        });
        const run = async (numTokens: number): Promise<Float32Array> => {
          const out = backend.allocate('f32', [numTokens, NUM_ROWS], 'scratch');
          const residual = floats(backend, [numTokens, NUM_ROWS], new Float32Array(numTokens * NUM_ROWS).fill(1));
          const input = floats(backend, [numTokens, ROW_LENGTH], x.subarray(0, numTokens * ROW_LENGTH));
          backend.matmul({ x: input, weight, residual, out });
          return (await backend.download(out)).subarray(0, NUM_ROWS);
        };
        first ??= await run(1);
        for (const numTokens of [1, 3, 4, 11, 161]) expect(await run(numTokens), `${numTokens}`).toEqual(first);
      }
      for (const row of [0, 7, 255, 256, NUM_ROWS - 1]) {
        const weights = values.subarray(row * ROW_LENGTH, (row + 1) * ROW_LENGTH);
        const expected = weights.reduce((sum, value, k) => sum + value * x[k]!, 1);
        const limit = 0.01 * Math.hypot(...weights) * lengthOfX;
        expect(Math.abs(first![row]! - expected), `row ${row}`).toBeLessThan(limit);
      }
    },
  );

  it.each(PACKED)('of %s is read back bit for bit', async (dtype) => {
    const bytes = randomWeightBytes(dtype, 3, NUM_ROWS * ROW_LENGTH);
    const backend = backends[0]!;
    const weight = await backend.loadWeight(dtype, [NUM_ROWS, ROW_LENGTH], async (start, target) => {
      target.set(bytes.subarray(start, start + target.length));
    });
    const tokenIds = backend.allocate('i32', [NUM_ROWS], 'scratch');
    backend.upload(
      tokenIds,
      Int32Array.from({ length: NUM_ROWS }, (_, row) => row),
    );
    const out = backend.allocate('f32', [NUM_ROWS, ROW_LENGTH], 'scratch');
    backend.embed({ tokenIds, weight, out });
    expect(await backend.download(out)).toEqual(dequantize(dtype, bytes, NUM_ROWS * ROW_LENGTH));
  });
});
