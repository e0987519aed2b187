/** The part of the conformance suite about memory: what `KernelBackend` promises besides its ops. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InvalidArgumentError, QuernError, ShapeError } from '../../engine/errors.ts';
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import { KV_DTYPES } from '../../engine/kernels/ops.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';
import { randomValues } from '../helpers/arbitraries-kernels.ts';
import { findBitDifference, findMismatch } from './compare.ts';
import { withWorkspace } from './workspace.ts';

const NOTHING = { weights: 0, kv: 0, scratch: 0 };

/** Three pages of four tokens, two heads of 32. */
const CACHE_SHAPE = [3, 2, 4, 32];

interface Caches {
  readonly keyCache: Tensor;
  readonly valueCache: Tensor;
}

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

    it.each(KV_DTYPES)('moves a KV page of %s to another cache as bytes, and nothing else', async (dtype) => {
      expect(backend.kvPageLayout).not.toBe('');
      await withWorkspace(backend, async (work) => {
        const [from, to] = [0, 1].map(() => ({
          keyCache: work.zeros(dtype, CACHE_SHAPE),
          valueCache: work.zeros(dtype, CACHE_SHAPE),
        })) as [Caches, Caches];
        const [k, v] = [1, 2].map((seed) => work.floats([4, 2, 32], randomValues(seed, 4 * 2 * 32))) as [
          Tensor,
          Tensor,
        ];
        const args = { k, v, ...from, slotMapping: work.ints([4], [4, 5, 6, 7]) };
        if (backend.supports('writeKv', args) !== true) return;
        backend.writeKv(args);
        const pageBytes = from.keyCache.byteLength / CACHE_SHAPE[0]!;
        for (const cache of ['keyCache', 'valueCache'] as const) {
          const before = new Uint8Array(to[cache].byteLength);
          await backend.readBytes(to[cache], 0, before);
          const page = new Uint8Array(pageBytes);
          await backend.readBytes(from[cache], pageBytes, page);
          backend.writeBytes(to[cache], 2 * pageBytes, page);
          before.set(page, 2 * pageBytes);
          page.fill(0);
          const after = new Uint8Array(to[cache].byteLength);
          await backend.readBytes(to[cache], 0, after);
          expect(after).toEqual(before);
        }
        const attend = async (caches: Caches, block: number): Promise<Float32Array> => {
          const out = work.output([1, 4, 32]);
          work.run('pagedAttention', {
            q: work.floats([1, 4, 32], randomValues(3, 4 * 32)),
            ...caches,
            blockTables: work.ints([1, 1], [block]),
            queryStartLoc: work.ints([2], [0, 1]),
            seqLens: work.ints([1], [4]),
            scale: 0.5,
            slidingWindow: undefined,
            softCap: undefined,
            out,
          });
          return work.read(out);
        };
        expect(findBitDifference(await attend(to, 2), await attend(from, 1))).toBeUndefined();
      });
    });

    it('refuses bytes outside a tensor', async () => {
      const tensor = backend.allocate('f32', [2, 1, 1, 4], 'kv');
      for (const [byteOffset, byteLength] of [
        [-1, 1],
        [0.5, 1],
        [0, 33],
        [32, 1],
        [Number.NaN, 0],
      ] as const) {
        const bytes = new Uint8Array(byteLength);
        await expect(backend.readBytes(tensor, byteOffset, bytes)).rejects.toThrow(InvalidArgumentError);
        expect(() => backend.writeBytes(tensor, byteOffset, bytes)).toThrow(InvalidArgumentError);
      }
    });

    it('does nothing after close', async () => {
      await backend.close();
      expect(() => backend.allocate('f32', [1], 'scratch')).toThrow(QuernError);
      await expect(backend.sync()).rejects.toThrow(QuernError);
    });
  });
}
