import { afterAll, describe, expect, it } from 'vitest';
import { InvalidArgumentError, OutOfMemoryError, UnsupportedError } from '../../../../engine/errors.ts';
import { ALL_SETS } from '../../../../engine/kernels/wasm/kernel-sets.ts';
import { probeWasm } from '../../../../engine/kernels/wasm/probe-wasm.ts';
import { WasmBackend } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import { attachWasm } from '../../../../engine/kernels/wasm/wasm-worker.ts';
import { FLOAT_DTYPES, type FloatDType } from '../../../../engine/tensor/dtype.ts';
import { dequantize } from '../../../../engine/tensor/quant/codec.ts';
import { quantFormat } from '../../../../engine/tensor/quant/quant-registry.ts';
import { byteLengthOf } from '../../../../engine/tensor/storage.ts';
import type { Tensor } from '../../../../engine/tensor/tensor.ts';
import { randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';

const PACKED = ['q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k', 'f32', 'f16', 'bf16'] as const;
/** Packed scales of these take whole bytes where the file has 6 bits: bytes of a packed block and of a stored one. */
const GROWTH: Partial<Record<FloatDType, number>> = { q4_k: 1184 / 1152, q5_k: 1440 / 1408 };

const QUANTIZED = ['q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'] as const;
/** Where in a block the f16 factors lie. */
const FACTORS = { q8_0: [0], q4_0: [0], q4_k: [0, 2], q5_k: [0, 2], q6_k: [208] } as const;

describe('WasmBackend', () => {
  const backend = new WasmBackend();
  afterAll(() => backend.close());

  const load = (dtype: FloatDType, shape: readonly number[], bytes: Uint8Array, of = backend): Promise<Tensor> =>
    of.loadWeight(dtype, shape, async (start, target) => {
      target.set(bytes.subarray(start, start + target.length));
    });
  const floats = (shape: readonly number[], values: Float32Array, of = backend): Tensor => {
    const tensor = of.allocate('f32', shape, 'scratch');
    of.upload(tensor, values);
    return tensor;
  };
  const ints = (values: readonly number[]): Tensor => {
    const tensor = backend.allocate('i32', [values.length], 'scratch');
    backend.upload(tensor, Int32Array.from(values));
    return tensor;
  };

  it('can run where these tests can, as its probe says', () => {
    expect(probeWasm()).toEqual({ available: true });
  });

  it.each(PACKED)(
    'packs %s at the size of the file (or what its layout says), rows filled up to 8, and reads it back bit for bit',
    async (dtype) => {
      const [numRows, rowLength] = [11, 512];
      const bytes = randomWeightBytes(dtype, 1, numRows * rowLength);
      const before = backend.memoryUsage();
      const weight = await load(dtype, [numRows, rowLength], bytes);
      expect(backend.memoryUsage().weights - before.weights).toBeCloseTo(
        (bytes.length / 11) * 16 * (GROWTH[dtype] ?? 1),
      );
      expect(backend.memoryUsage().scratch).toBe(before.scratch);
      const out = backend.allocate('f32', [numRows, rowLength], 'scratch');
      backend.embed({ tokenIds: ints(Array.from({ length: numRows }, (_, i) => i)), weight, out });
      expect(await backend.download(out)).toEqual(dequantize(dtype, bytes, numRows * rowLength));
      if (dtype === 'f32') expect(await backend.download(weight)).toEqual(await backend.download(out));
      backend.free(weight);
      expect(backend.memoryUsage().weights).toBe(before.weights);
    },
  );

  it('hands to threads what the model was said to need, or else everything', async () => {
    const unit = {
      name: 'layer 0',
      weights: [
        { dtype: 'q4_0', shape: [8, 64] },
        { dtype: 'iq4_nl', shape: [8, 64] },
        { dtype: 'bf16', shape: [64] },
      ],
      kv: [{ dtype: 'f16', shape: [1, 1, 16, 64] }],
    } as const;
    const told = new WasmBackend();
    told.arrange({ units: [unit], scratch: [] });
    const needed = ['common', 'weights q4_0', 'weights f32', 'pages f32', 'pages f16'];
    expect(told.attachment.compiled.sets).toEqual(needed);
    expect(told.attachment.compiled.modules).toHaveLength(1);
    const [machine] = attachWasm(told.attachment);
    expect(() => machine!.expectKernels(['common', 'weights q4_0'])).not.toThrow();
    expect(() => machine!.expectKernels(['weights q8_0'])).toThrow(UnsupportedError);
    await told.close();

    const untold = new WasmBackend({ revectorize: 'off' });
    expect(untold.attachment.compiled.sets).toEqual(ALL_SETS);
    await untold.close();
  });

  it('multiplies by every weight format natively, and leaves rows to the reference that no memory is kept for', async () => {
    const isNative = async (dtype: FloatDType, rowLength: number): Promise<boolean> => {
      const weight = await load(dtype, [8, rowLength], new Uint8Array(byteLengthOf(dtype, [8, rowLength])));
      const x = backend.allocate('f32', [1, rowLength], 'scratch');
      const out = backend.allocate('f32', [1, 8], 'scratch');
      const answer = backend.isNative('matmul', { x, weight, out });
      for (const tensor of [weight, x, out]) backend.free(tensor);
      return answer;
    };
    for (const dtype of FLOAT_DTYPES) expect(await isNative(dtype, 14_336), dtype).toBe(true);
    expect(await isNative('q2_k', 16_384)).toBe(false);
    expect(await isNative('q4_k', 16_384)).toBe(true);
  });

  it('uses a packed weight whole or not at all', async () => {
    const weight = await load('q8_0', [16, 32], randomWeightBytes('q8_0', 1, 512));
    const x = floats([1, 32], randomValues(1, 32));
    const out = backend.allocate('f32', [1, 8], 'scratch');
    expect(() => backend.matmul({ x, weight: weight.slice(0, 8), out })).toThrow(InvalidArgumentError);
    expect(() => backend.free(weight.slice(0, 8))).toThrow(InvalidArgumentError);
    await expect(backend.readBytes(weight, 0, new Uint8Array(4))).rejects.toThrow(/packed/);
  });

  it('passes NaN and infinities in activations on, in every format', async () => {
    for (const dtype of PACKED) {
      const K = 256;
      const weight = await load(dtype, [9, K], randomWeightBytes(dtype, 1, 9 * K));
      const values = randomValues(2, 3 * K);
      values[10] = Number.NaN;
      values[K + 40] = Infinity;
      const out = backend.allocate('f32', [3, 9], 'scratch');
      backend.matmul({ x: floats([3, K], values), weight, out });
      const results = await backend.download(out);
      expect(results.subarray(0, 18).some(Number.isFinite), dtype).toBe(false);
      expect(results.subarray(18).every(Number.isFinite), dtype).toBe(true);
    }
  });

  it.each(QUANTIZED)(
    'has room for the largest levels and scales of %s, with all activations at their largest',
    async (dtype) => {
      const K = 256;
      // For q4_0, the largest level times almost the largest factor (generators/quantize-q4.ts): nothing is rounded.
      const largest = (127 * 16512) / 2 ** 20;
      const { bytesPerBlock, blockSize } = quantFormat(dtype);
      for (const filling of [0xff, 0x80, 0x7f, 0x00]) {
        const row = new Uint8Array((K / blockSize) * bytesPerBlock).fill(filling);
        for (let block = 0; block < row.length; block += bytesPerBlock) {
          for (const at of FACTORS[dtype]) row.set([0x00, 0x3c], block + at); // 1 as f16
        }
        const expected = dequantize(dtype, row, K).reduce((sum, value) => sum + largest * value, 0);
        const weight = await load(dtype, [1, K], row);
        const out = backend.allocate('f32', [2, 1], 'scratch');
        const x = Float32Array.from({ length: 2 * K }, (_, i) => (i < K ? largest : -largest));
        backend.matmul({ x: floats([2, K], x), weight, out });
        const [plus, minus] = await backend.download(out);
        expect(Math.abs(plus! - expected), `${filling}`).toBeLessThanOrEqual(1e-5 * Math.abs(expected));
        expect(minus! + plus!).toBe(0);
      }
    },
  );

  it('does not mind activations of any finite size, or none at all', async () => {
    for (const dtype of ['q8_0', 'q4_0', 'f16'] as const) {
      const weight = await load(dtype, [8, 32], randomWeightBytes(dtype, 1, 8 * 32));
      const out = backend.allocate('f32', [3, 8], 'scratch');
      const scales = [0, 1e-30, 1e9];
      const row = randomValues(3, 32);
      const values = Float32Array.from(scales.flatMap((scale) => [...row.map((value) => value * scale)]));
      backend.matmul({ x: floats([3, 32], values), weight, out });
      const results = await backend.download(out);
      expect([...results.subarray(0, 8)].map(Math.abs)).toEqual(Array(8).fill(0));
      for (let n = 0; n < 8; n++) {
        const ratio = results[16 + n]! / results[8 + n]!;
        expect(Math.abs(ratio / 1e39 - 1), `${dtype} ${n}`).toBeLessThan(1e-2);
      }
    }
  });

  it('rounds activations of q4_0 as finely next to one that is 10,000 times as large', async () => {
    const [N, K] = [8, 64];
    const bytes = randomWeightBytes('q4_0', 1, N * K);
    // The large one meets weights of 0.
    for (let row = 0; row < N; row++) bytes.set([0, 0], row * (K / 32) * 18);
    const weights = dequantize('q4_0', bytes, N * K);
    const x = randomValues(3, K);
    x[5] = 1e4;
    const out = backend.allocate('f32', [1, N], 'scratch');
    backend.matmul({ x: floats([1, K], x), weight: await load('q4_0', [N, K], bytes), out });
    const results = await backend.download(out);
    const halfLevel = Math.max(...x.subarray(32).map(Math.abs)) / 127 / 2;
    for (let n = 0; n < N; n++) {
      const row = [...weights.subarray(n * K, (n + 1) * K)];
      const expected = row.reduce((sum, weight, k) => sum + weight * x[k]!, 0);
      const bound = row.reduce((sum, weight) => sum + Math.abs(weight) * halfLevel, 0);
      expect(Math.abs(results[n]! - expected)).toBeLessThanOrEqual(1.2 * bound);
      expect(results[n]).not.toBe(0);
    }
  });

  it('ignores what an earlier matmul left where activations are packed', async () => {
    const [K, N] = [5, 3];
    const big = await load('f32', [8, 64], randomWeightBytes('f32', 1, 8 * 64));
    const stale = floats([4, 64], new Float32Array(4 * 64).fill(Number.NaN));
    backend.matmul({ x: stale, weight: big, out: backend.allocate('f32', [4, 8], 'scratch') });
    const weight = await load('f32', [N, K], randomWeightBytes('f32', 1, N * K));
    const out = backend.allocate('f32', [1, N], 'scratch');
    backend.matmul({ x: floats([1, K], randomValues(4, K)), weight, out });
    expect([...(await backend.download(out))].every(Number.isFinite)).toBe(true);
  });

  it('refuses an f16 weight or scale that is infinite or NaN, and keeps nothing of it', async () => {
    const before = backend.memoryUsage();
    const f16 = randomWeightBytes('f16', 1, 64);
    f16.set([0x00, 0x7c], 10);
    await expect(load('f16', [2, 32], f16)).rejects.toThrow(UnsupportedError);
    const q8 = randomWeightBytes('q8_0', 1, 64);
    q8.set([0x01, 0xfe], 34);
    await expect(load('q8_0', [2, 32], q8)).rejects.toThrow(/row 1/);
    expect(backend.memoryUsage()).toEqual(before);
  });

  it('gives freed memory out again as zeros', async () => {
    const other = new WasmBackend({ revectorize: 'off' });
    const a = floats([100], new Float32Array(100).fill(7), other);
    other.free(a);
    const b = other.allocate('f32', [100], 'scratch');
    expect(b.buffer.address).toBe((a.buffer as typeof b.buffer).address);
    expect(await other.download(b)).toEqual(new Float32Array(100));
    await other.close();
  });

  it('says what of a model kernels do not take as it is', async () => {
    const own = new WasmBackend({ revectorize: 'off' });
    expect(own.features.nativeKernels).toBeUndefined();
    await load('q8_0', [8, 32], randomWeightBytes('q8_0', 1, 8 * 32), own);
    own.allocate('f32', [2, 1, 16, 64], 'kv');
    expect(own.features.nativeKernels).toEqual({ used: true });
    for (const seed of [2, 3]) await load('q5_1', [8, 32], randomWeightBytes('q5_1', seed, 8 * 32), own);
    own.allocate('f32', [2, 1, 16, 4096], 'kv');
    expect(own.features.nativeKernels).toEqual({
      used: false,
      reason: expect.stringMatching(/^2 q5_1 matrices have no kernels .*; 1 KV tensors have heads of 4096/),
    });
    await own.close();
  });

  it('says so when 4 GiB do not suffice, and goes on working', () => {
    const before = backend.memoryUsage();
    expect(() => backend.allocate('f32', [2 ** 31], 'kv')).toThrow(OutOfMemoryError);
    expect(() => backend.allocate('f32', [2 ** 31], 'kv')).toThrow(/one WebAssembly memory holds/);
    expect(backend.memoryUsage()).toEqual(before);
    backend.free(backend.allocate('f32', [4], 'scratch'));
  });

  it.each(QUANTIZED)(
    'gives a token the same bits of %s weights that are unpacked for many and of those that are not',
    async (dtype) => {
      // Full tiles and a rest, an odd number of groups of rows and a rest; with and without 256-bit registers.
      const [numTokens, numRows, numColumns] = [162, 29, 512];
      const bytes = randomWeightBytes(dtype, 8, numRows * numColumns);
      const values = randomValues(9, numTokens * numColumns);
      const plain = new WasmBackend({ revectorize: 'off' });
      for (const of of [backend, plain]) {
        const weight = await load(dtype, [numRows, numColumns], bytes, of);
        const x = floats([numTokens, numColumns], values, of);
        const out = of.allocate('f32', [numTokens, numRows], 'scratch');
        of.matmul({ x, weight, out });
        const all = await of.download(out);
        for (const token of [0, 3, 77, 159, 160, 161]) {
          const alone = of.allocate('f32', [1, numRows], 'scratch');
          of.matmul({ x: x.slice(token, token + 1), weight, out: alone });
          expect(all.subarray(token * numRows, (token + 1) * numRows)).toEqual(await of.download(alone));
        }
      }
      await plain.close();
    },
  );

  it('does not change a bit by revectorization', async () => {
    const plain = new WasmBackend({ revectorize: 'off' });
    const results: Float32Array[] = [];
    for (const of of [backend, plain]) {
      for (const dtype of PACKED) {
        const weight = await load(dtype, [40, 768], randomWeightBytes(dtype, 6, 40 * 768), of);
        const out = of.allocate('f32', [7, 40], 'scratch');
        of.matmul({ x: floats([7, 768], randomValues(7, 7 * 768), of), weight, out });
        results.push(await of.download(out));
      }
    }
    expect(results.slice(0, PACKED.length)).toEqual(results.slice(PACKED.length));
    await plain.close();
  });
});
