import { describe, expect, it } from 'vitest';
import { type BufferHandle, Tensor } from '../../../engine/tensor/tensor.ts';

const buffer: BufferHandle = { owner: 'test', byteLength: 1 << 20 };

describe('Tensor', () => {
  it('tells its sizes', () => {
    const tensor = new Tensor('q8_0', [3, 2, 64], buffer, 16);
    expect(tensor.numElements).toBe(384);
    expect(tensor.rowSize).toBe(64);
    expect(tensor.byteLength).toBe(384 * (34 / 32));
    expect(`${tensor}`).toBe('q8_0[3, 2, 64]');
  });

  it('reshapes without moving', () => {
    const tensor = new Tensor('f32', [4, 6], buffer, 8);
    const view = tensor.reshape([2, 12]);
    expect(view).toMatchObject({ dtype: 'f32', shape: [2, 12], byteOffset: 8 });
    expect(view.buffer).toBe(buffer);
    expect(() => tensor.reshape([5, 5])).toThrow(expect.objectContaining({ code: 'SHAPE' }));
  });

  it('slices the outermost dimension at the right byte', () => {
    const tensor = new Tensor('q4_0', [4, 3, 32], buffer, 100);
    expect(tensor.slice(1, 3)).toMatchObject({ shape: [2, 3, 32], byteOffset: 100 + 3 * 18 });
    expect(tensor.slice(1, 3).slice(1, 2)).toMatchObject({ shape: [1, 3, 32], byteOffset: 100 + 6 * 18 });
    expect(tensor.slice(4, 4)).toMatchObject({ shape: [0, 3, 32], byteLength: 0 });
    expect(new Tensor('i32', [5], buffer).slice(2, 5)).toMatchObject({ shape: [3], byteOffset: 8 });
  });

  it.each([
    [-1, 2],
    [3, 2],
    [0, 5],
    [Number.NaN, 2],
  ])('refuses the slice %d..%d of 4', (start, end) => {
    const tensor = new Tensor('f32', [4, 2], buffer);
    expect(() => tensor.slice(start, end)).toThrow(expect.objectContaining({ code: 'SHAPE' }));
  });

  it('has nothing to slice in a scalar, and no negative sizes', () => {
    expect(() => new Tensor('f32', [], buffer).slice(0, 1)).toThrow(expect.objectContaining({ code: 'SHAPE' }));
    expect(() => new Tensor('f32', [-1], buffer)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});
