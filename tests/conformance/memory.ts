/** The part of the conformance suite about memory: what `KernelBackend` promises besides its ops. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InvalidArgumentError, QuernError, ShapeError } from '../../engine/errors.ts';
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import { randomValues } from '../helpers/arbitraries-kernels.ts';
import { findMismatch } from './compare.ts';

const NOTHING = { weights: 0, kv: 0, scratch: 0 };

export function describeMemory(name: string, factory: () => KernelBackend | Promise<KernelBackend>): void {
  describe(`memory of backend ${name}`, () => {
    let backend: KernelBackend;
    beforeEach(async () => {
      backend = await factory();
    });
    afterEach(async () => {
      await backend.close();
    });

    it('starts at nothing, counts by purpose, and returns to nothing', async () => {
      expect(backend.memoryUsage()).toEqual(NOTHING);
      const kv = backend.allocate('f16', [2, 3, 4, 32], 'kv');
      expect(backend.memoryUsage().kv).toBeGreaterThanOrEqual(2 * 3 * 4 * 32 * 2);
      const scratch = backend.allocate('f32', [5, 7], 'scratch');
      expect(backend.memoryUsage().scratch).toBeGreaterThanOrEqual(5 * 7 * 4);
      backend.free(kv);
      expect(backend.memoryUsage()).toMatchObject({ weights: 0, kv: 0 });
      backend.free(scratch);
      expect(backend.memoryUsage()).toEqual(NOTHING);
    });

    it('frees what is left on close, twice if asked', async () => {
      backend.allocate('f32', [5], 'scratch');
      backend.allocate('i32', [5], 'kv');
      await backend.close();
      expect(backend.memoryUsage()).toEqual(NOTHING);
      await backend.close();
    });

    it('hands out zeros, and gives back what was uploaded', async () => {
      const tensor = backend.allocate('f32', [3, 5], 'scratch');
      expect(await backend.download(tensor)).toEqual(new Float32Array(15));
      const values = randomValues(1, 10);
      backend.upload(tensor, values);
      expect((await backend.download(tensor)).subarray(0, 10)).toEqual(values);
      expect((await backend.download(tensor)).subarray(10)).toEqual(new Float32Array(5));
      expect((await backend.download(tensor.slice(1, 2)))[0]).toBe(values[5]);
    });

    it('reads a weight in consecutive ranges, each byte once, and puts each where it belongs', async () => {
      const [numRows, rowLength] = [5000, 512];
      const values = Float32Array.from({ length: numRows * rowLength }, (_, i) => i);
      const bytes = new Uint8Array(values.buffer);
      let next = 0;
      const weight = await backend.loadWeight('f32', [numRows, rowLength], async (byteOffset, target) => {
        expect(byteOffset).toBe(next);
        target.set(bytes.subarray(byteOffset, byteOffset + target.length));
        next += target.length;
      });
      expect(next).toBe(bytes.length);
      expect(backend.memoryUsage().weights).toBeGreaterThanOrEqual(bytes.length);

      const tokenIds = backend.allocate('i32', [numRows], 'scratch');
      backend.upload(
        tokenIds,
        Int32Array.from({ length: numRows }, (_, i) => i),
      );
      const out = backend.allocate('f32', [numRows, rowLength], 'scratch');
      backend.embed({ tokenIds, weight, out });
      expect(findMismatch(await backend.download(out), values, 0)).toBeUndefined();

      for (const tensor of [weight, tokenIds, out]) backend.free(tensor);
      expect(backend.memoryUsage()).toEqual(NOTHING);
    });

    it('passes on the error of a failed read and keeps nothing', async () => {
      const failure = new Error('the file ended');
      const load = backend.loadWeight('f32', [4, 4], () => Promise.reject(failure));
      await expect(load).rejects.toBe(failure);
      expect(backend.memoryUsage()).toEqual(NOTHING);
    });

    it('refuses a tensor that was freed', () => {
      const a = backend.allocate('f32', [4], 'scratch');
      const b = backend.allocate('f32', [4], 'scratch');
      backend.free(a);
      expect(() => backend.add({ a, b, out: b })).toThrow(InvalidArgumentError);
      expect(() => backend.upload(a, new Float32Array(4))).toThrow(InvalidArgumentError);
      expect(() => backend.free(a)).toThrow(InvalidArgumentError);
    });

    it("refuses another backend's tensor", async () => {
      const other = await factory();
      const a = backend.allocate('f32', [4], 'scratch');
      const foreign = other.allocate('f32', [4], 'scratch');
      expect(() => backend.add({ a, b: foreign, out: a })).toThrow(InvalidArgumentError);
      await expect(backend.download(foreign)).rejects.toThrow(InvalidArgumentError);
      await other.close();
    });

    it('refuses shapes that do not fit, in supports and in the op', () => {
      const a = backend.allocate('f32', [4], 'scratch');
      const b = backend.allocate('f32', [5], 'scratch');
      expect(() => backend.add({ a, b, out: a })).toThrow(ShapeError);
      expect(backend.supports('add', { a, b, out: a })).toMatch(/add/);
      expect(backend.supports('add', { a, b: a, out: a })).toBe(true);
    });

    it('does nothing after close', async () => {
      await backend.close();
      expect(() => backend.allocate('f32', [1], 'scratch')).toThrow(QuernError);
      await expect(backend.sync()).rejects.toThrow(QuernError);
    });
  });
}
