/** copyBlocks and tokenLogprobs against their definitions, whole and in parts. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { copyBlocks } from '../../../engine/kernels/reference/copy-blocks.ts';
import { floatsOf } from '../../../engine/kernels/reference/host-memory.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { tokenLogprobs } from '../../../engine/kernels/reference/token-logprobs.ts';

const ids = (backend: ReferenceBackend, shape: number[], values: number[]) => {
  const tensor = backend.allocate('i32', shape, 'scratch');
  backend.upload(tensor, Int32Array.from(values));
  return tensor;
};

it('copies happen in the order of the list, whatever the number of parts', () => {
  const copies = fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { maxLength: 6 });
  fc.assert(
    fc.property(copies, fc.integer({ min: 1, max: 5 }), (pairs, count) => {
      const backend = new ReferenceBackend();
      const shape = [4, 2, 3, 5];
      const [keyCache, valueCache] = [backend.allocate('f32', shape, 'kv'), backend.allocate('f32', shape, 'kv')];
      const values = Float32Array.from({ length: 120 }, (_, i) => i);
      backend.upload(keyCache, values);
      backend.upload(
        valueCache,
        values.map((x) => -x),
      );
      const blocks = [0, 1, 2, 3];
      for (const [source, target] of pairs) blocks[target] = blocks[source]!;
      const args = { keyCache, valueCache, copies: ids(backend, [pairs.length, 2], pairs.flat()) };
      for (let index = 0; index < count; index++) copyBlocks(args, { index, count });
      const expected = blocks.flatMap((block) => [...values.subarray(block * 30, block * 30 + 30)]);
      expect([...floatsOf(keyCache)]).toEqual(expected);
      expect([...floatsOf(valueCache)]).toEqual(expected.map((x) => -x));
    }),
  );
});

it('log-probabilities of all tokens of a row are those of a softmax', () => {
  const row = fc.array(fc.float({ min: -80, max: 80, noNaN: true }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(row, fc.integer({ min: 1, max: 4 }), (values, count) => {
      const backend = new ReferenceBackend();
      const V = values.length;
      const logits = backend.allocate('f32', [V, V], 'scratch');
      for (let r = 0; r < V; r++) backend.upload(logits.slice(r, r + 1), Float32Array.from(values));
      const out = backend.allocate('f32', [V], 'scratch');
      const tokenIds = ids(
        backend,
        [V],
        Array.from({ length: V }, (_, i) => i),
      );
      for (let index = 0; index < count; index++) tokenLogprobs({ logits, tokenIds, out }, { index, count });
      const probabilities = [...floatsOf(out)].map(Math.exp);
      expect(probabilities.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
      const best = Math.max(...values.map(Math.fround));
      for (const [i, p] of [...floatsOf(out)].entries()) {
        expect(p).toBeLessThanOrEqual(0);
        expect(p - floatsOf(out)[values.map(Math.fround).indexOf(best)]!).toBeCloseTo(
          Math.fround(values[i]!) - best,
          4,
        );
      }
    }),
  );
});

it('indices outside the pool or the vocabulary are refused', () => {
  const backend = new ReferenceBackend();
  const cache = () => backend.allocate('f32', [2, 1, 1, 4], 'kv');
  const copies = ids(backend, [1, 2], [0, 2]);
  expect(() => backend.copyBlocks({ keyCache: cache(), valueCache: cache(), copies })).toThrow(/from 0 to 1, got 2/);
  const logits = backend.allocate('f32', [1, 3], 'scratch');
  const out = backend.allocate('f32', [1], 'scratch');
  expect(() => backend.tokenLogprobs({ logits, tokenIds: ids(backend, [1], [3]), out })).toThrow(/from 0 to 2, got 3/);
});
