import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../../engine/errors.ts';
import { openSafetensors } from '../../../../formats/safetensors/open-safetensors.ts';
import { writeSafetensors, writeShardedSafetensors } from '../../../../formats/safetensors/write-safetensors.ts';
import { readTensor } from '../../../../formats/tensor-file.ts';
import { rejection } from '../../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const BYTES_PER_ELEMENT = { f32: 4, f16: 2, bf16: 2, i64: 8, u8: 1, f8_e4m3: 1 } as const;

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const name = fc.oneof(text, fc.constantFrom('__proto__', '7', '"', '\\', 'constructor')).filter((one) => one !== '');
const tensor = fc
  .record({
    name,
    dtype: fc.constantFrom(...(Object.keys(BYTES_PER_ELEMENT) as (keyof typeof BYTES_PER_ELEMENT)[])),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.nat(255),
  })
  .map(({ seed, ...rest }) => {
    const length = rest.shape.reduce((a, b) => a * b, 1) * BYTES_PER_ELEMENT[rest.dtype];
    return { ...rest, bytes: Uint8Array.from({ length }, (_, i) => (i * 31 + seed) % 256) };
  });
const tensors = fc.uniqueArray(tensor, { selector: (one) => one.name, maxLength: 6 });
const metadata = fc.uniqueArray(fc.tuple(name, text), { selector: ([key]) => key }).map((pairs) => new Map(pairs));

async function expectSame(path: string, expected: readonly { name: string; dtype: string; bytes: Uint8Array }[]) {
  await using file = await openSafetensors(path);
  expect([...file.tensors.keys()].toSorted()).toEqual(expected.map((one) => one.name).toSorted());
  for (const { bytes, ...rest } of expected) {
    const stored = file.tensors.get(rest.name)!;
    expect(stored).toMatchObject(rest);
    expect(await readTensor(file, stored)).toEqual(bytes);
    const elementBytes = BYTES_PER_ELEMENT[rest.dtype as keyof typeof BYTES_PER_ELEMENT];
    expect(stored.byteOffset % elementBytes).toBe(0);
  }
  return file;
}

const sources = (list: readonly { name: string; dtype: string; shape: number[]; bytes: Uint8Array }[]) =>
  list.map(({ bytes, ...rest }) => ({ ...rest, data: () => bytes }));

describe('writeSafetensors', () => {
  it('writes the bytes the format draws', async () => {
    const path = folder.at('golden.safetensors');
    const data = () => Uint8Array.of(1, 2);
    await writeSafetensors(path, { tensors: [{ name: 'w', dtype: 'f16', shape: [1], data }] });
    const header = '{"__metadata__":{"format":"pt"},"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}   ';
    const bytes = await readFile(path);
    expect(bytes.subarray(8, -2).toString()).toBe(header);
    expect([...bytes.subarray(0, 8)]).toEqual([88, 0, 0, 0, 0, 0, 0, 0]);
    expect([...bytes.subarray(-2)]).toEqual([1, 2]);
  });

  it('writes what openSafetensors reads back, every element aligned', async () => {
    const path = folder.at('round-trip.safetensors');
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (list, entries) => {
        await writeSafetensors(path, { tensors: sources(list), metadata: entries });
        const file = await expectSame(path, list);
        expect(file.metadata).toEqual(entries);
      }),
    );
  });

  it.each<[string, object, RegExp]>([
    ['a block format', { dtype: 'q4_0' }, /safetensors has no q4_0/],
    ['an upper-case dtype', { dtype: 'F32' }, /safetensors has no F32/],
    ['a reserved name', { name: '__metadata__' }, /is reserved/],
    ['too little data', { shape: [3] }, /takes 12 bytes, got 4/],
    ['half a byte', { dtype: 'f4', shape: [3] }, /not whole bytes/],
  ])('refuses %s and leaves nothing behind', async (_, changes, message) => {
    const path = folder.at('refused.safetensors');
    const source = { name: 'w', dtype: 'f32', shape: [1], data: () => new Uint8Array(4), ...changes };
    const error = await rejection(writeSafetensors(path, { tensors: [source] }));
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect((error as Error).message).toMatch(message);
    expect((await readdir(dirname(path))).filter((file) => file.includes('refused'))).toEqual([]);
  });
});

describe('writeShardedSafetensors', () => {
  it('writes shards of at most the given size, which read back as one model', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(tensors, fc.integer({ min: 1, max: 600 }), async (list, maxShardBytes) => {
        const path = folder.at(`sharded-${run++}`);
        await mkdir(path);
        const names = await writeShardedSafetensors(path, { tensors: sources(list), maxShardBytes });
        expect((await readdir(path)).toSorted()).toEqual(names.toSorted());
        await expectSame(path, list);
        for (const shard of names.filter((file) => file.endsWith('.safetensors'))) {
          await using file = await openSafetensors(`${path}/${shard}`);
          const lengths = [...file.tensors.values()].map(({ byteLength }) => byteLength);
          const total = lengths.reduce((a, b) => a + b, 0);
          expect(total <= maxShardBytes || lengths.length === 1).toBe(true);
        }
      }),
    );
  });

  it('refuses a shard size of 0', async () => {
    expect(String(await rejection(writeShardedSafetensors(folder.at(''), { tensors: [], maxShardBytes: 0 })))).toMatch(
      /maxShardBytes: must be at least 1/,
    );
  });
});
