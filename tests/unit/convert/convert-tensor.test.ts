import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { convertChunks, copyChunks, type RowOrder } from '../../../engine/convert/convert-tensor.ts';
import type { FloatDType } from '../../../engine/tensor/dtype.ts';
import { dequantize, quantize } from '../../../engine/tensor/quant/codec.ts';
import type { StoredTensor, TensorFile } from '../../../formats/tensor-file.ts';

/** A file that holds one tensor, and counts nothing else. */
function stored(
  bytes: Uint8Array,
  dtype: string,
  shape: readonly number[],
): { file: TensorFile; tensor: StoredTensor } {
  const tensor = { name: 'w', dtype, shape, byteLength: bytes.length, file: 'test.gguf', byteOffset: 1000 };
  const file: TensorFile = {
    tensors: new Map([['w', tensor]]),
    read: async (_tensor, byteOffset, target) => target.set(bytes.subarray(byteOffset, byteOffset + target.length)),
    close: async () => {},
  };
  return { file, tensor };
}

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

function randomValues(count: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * 0.1;
  });
}

describe('convertChunks', () => {
  // More than one chunk of 2^18 elements, and rows that a chunk's end falls into.
  it.each([
    ['f16', 'q4_0'],
    ['q8_0', 'q5_1'],
    ['bf16', 'f32'],
    ['q4_0', 'q8_0'],
  ] as [FloatDType, FloatDType][])('%s to %s in chunks gives the bytes of doing it at once', async (from, to) => {
    const shape = [700, 416];
    const source = quantize(from, randomValues(700 * 416));
    const { file, tensor } = stored(source, from, shape);
    let numBytes = 0;
    const options = { onBytes: (count: number) => (numBytes += count) };
    const converted = await gather(convertChunks(file, tensor, to, options));
    expect(Buffer.compare(converted, quantize(to, dequantize(from, source, 700 * 416)))).toBe(0);
    expect(numBytes).toBe(converted.length);
  });

  it('re-orders rows within their groups, wherever chunks end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 4 }).map((half) => half * 2),
        fc.constantFrom(1, 64, 70_000),
        async (numGroups, rowsPerGroup, rowLength) => {
          const numRows = numGroups * rowsPerGroup;
          const values = Float32Array.from({ length: numRows * rowLength }, (_, i) => Math.floor(i / rowLength));
          const shape = rowLength === 1 ? [numRows] : [numRows, rowLength];
          const { file, tensor } = stored(new Uint8Array(values.buffer), 'f32', shape);
          const rowOrder: RowOrder = { rowsPerGroup, sourceRow: (row) => rowsPerGroup - 1 - row };
          const bytes = await gather(convertChunks(file, tensor, 'f32', { rowOrder }));
          const result = new Float32Array(bytes.buffer, bytes.byteOffset, values.length);
          for (let row = 0; row < numRows; row++) {
            const group = Math.floor(row / rowsPerGroup) * rowsPerGroup;
            expect(result[row * rowLength]).toBe(group + rowsPerGroup - 1 - (row % rowsPerGroup));
            expect(result[(row + 1) * rowLength - 1]).toBe(result[row * rowLength]);
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  it.each([
    [Number.NaN, 'q8_0', 'element 300000 is NaN'],
    [Number.POSITIVE_INFINITY, 'f32', 'element 300000 is Infinity'],
    [-70_000, 'f16', 'element 300000 is -70000; f16 holds finite values up to 65504'],
    [3.4e38, 'bf16', 'element 300000 is 3.3999999'],
    [1e30, 'q6_k', 'element 300000 is 1.000000'],
  ] as [number, FloatDType, string][])('refuses %d for %s and says where', async (value, to, message) => {
    const values = new Float32Array(1200 * 256);
    values[300_000] = value;
    const { file, tensor } = stored(new Uint8Array(values.buffer), 'f32', [1200, 256]);
    const converting = gather(convertChunks(file, tensor, to, {}));
    await expect(converting).rejects.toMatchObject({ code: 'FORMAT', field: 'w', byteOffset: 1000 + 4 * 300_000 });
    await expect(gather(convertChunks(file, tensor, to, {}))).rejects.toThrow(message);
  });

  it('refuses a format that it cannot read, and stops when told to', async () => {
    const { file, tensor } = stored(new Uint8Array(74), 'iq2_xs', [256]);
    await expect(gather(convertChunks(file, tensor, 'f32', {}))).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    const signal = AbortSignal.abort();
    await expect(gather(copyChunks(file, tensor, { signal }))).rejects.toMatchObject({ code: 'ABORTED' });
    const readable = stored(new Uint8Array(4), 'f32', [1]);
    await expect(gather(convertChunks(readable.file, readable.tensor, 'f16', { signal }))).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });
});

it('copyChunks copies', async () => {
  const bytes = Uint8Array.from({ length: 2 ** 20 + 3 }, (_, i) => i);
  const { file, tensor } = stored(bytes, 'i8', [bytes.length]);
  expect(Buffer.compare(await gather(copyChunks(file, tensor, {})), bytes)).toBe(0);
});
