/** How calls are put into numbers for a dispatch. Needs no GPU. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { flatGrid, KernelLibrary, packParams } from '../../../../engine/kernels/webgpu/op-context.ts';

it('flatGrid has room for every workgroup, hardly more, and no side too long', () => {
  fc.assert(
    fc.property(fc.oneof(fc.nat(200_000), fc.nat(2 ** 31)), (count) => {
      const [x, y, z] = flatGrid(count);
      expect(x * y * z).toBeGreaterThanOrEqual(count);
      // Each row of workgroups may be short by less than one.
      expect(x * y * z - count).toBeLessThan(Math.max(1, y));
      expect(Math.max(x, y)).toBeLessThanOrEqual(65_535);
    }),
  );
  expect(flatGrid(0)).toEqual([0, 0, 0]);
});

it('packParams puts whole numbers first and floats after them, bit for bit', () => {
  const words = packParams([1, 0xffff_ffff], [0.5, -0]);
  expect([...words.subarray(0, 2)]).toEqual([1, 0xffff_ffff]);
  expect([...new Float32Array(words.buffer, 8)]).toEqual([0.5, -0]);
});

it('a kernel is put together once per label', () => {
  const library = new KernelLibrary();
  const kernel = library.get('a', () => ({ code: 'first', bindings: [] }));
  expect(library.get('a', () => ({ code: 'second', bindings: [] }))).toBe(kernel);
  expect(kernel).toEqual({ label: 'a', entryPoint: 'main', code: 'first', bindings: [] });
});
