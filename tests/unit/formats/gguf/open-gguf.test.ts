import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../../engine/errors.ts';
import { openGguf } from '../../../../formats/gguf/open-gguf.ts';
import { readTensor } from '../../../../formats/tensor-file.ts';
import { useTemporaryFolder } from '../../../helpers/temporary-folder.ts';
import { entry, type FileParts, f32, ggufBytes, info, str, u8, u32, u64 } from '../support/gguf-bytes.ts';

const folder = useTemporaryFolder();
const array = (type: number, count: number | bigint, ...values: Buffer[]) => [u32(type), u64(count), ...values];

async function open(parts: FileParts | Buffer) {
  return await openGguf(await folder.put('model.gguf', Buffer.isBuffer(parts) ? parts : ggufBytes(parts)));
}

describe('a GGUF file made by hand', () => {
  it('gives metadata of all 13 types', async () => {
    const file = await open({
      entries: [
        entry('a.u8', 0, u8(200)),
        entry('a.i8', 1, u8(200)),
        entry('a.u16', 2, Buffer.from([0xfe, 0xff])),
        entry('a.i16', 3, Buffer.from([0xfe, 0xff])),
        entry('a.u32', 4, u32(4_000_000_000)),
        entry('a.i32', 5, u32(0xffff_fffe)),
        entry('a.f32', 6, f32(0.5)),
        entry('a.bool', 7, u8(1)),
        entry('a.string', 8, str('grüße')),
        entry('a.array', 9, ...array(5, 3, u32(1), u32(0xffff_ffff), u32(3))),
        entry('a.u64', 10, u64(2n ** 64n - 1n)),
        entry('a.i64', 11, u64(-5n)),
        entry('a.f64', 12, Buffer.from(new Float64Array([Math.PI]).buffer)),
        entry('a.strings', 9, ...array(8, 2, str('x'), str(''))),
        entry('a.bools', 9, ...array(7, 2, u8(0), u8(1))),
        entry('a.u64s', 9, ...array(10, 1, u64(7))),
        entry('a.nested', 9, ...array(9, 2, ...array(0, 2, u8(1), u8(2)), ...array(8, 1, str('deep')))),
      ],
    });
    const metadata = Object.fromEntries(file.metadata);
    await file.close();
    expect(metadata).toEqual({
      'a.u8': { type: 'uint8', value: 200 },
      'a.i8': { type: 'int8', value: -56 },
      'a.u16': { type: 'uint16', value: 65534 },
      'a.i16': { type: 'int16', value: -2 },
      'a.u32': { type: 'uint32', value: 4_000_000_000 },
      'a.i32': { type: 'int32', value: -2 },
      'a.f32': { type: 'float32', value: 0.5 },
      'a.bool': { type: 'bool', value: true },
      'a.string': { type: 'string', value: 'grüße' },
      'a.array': { type: 'array', elementType: 'int32', value: Int32Array.of(1, -1, 3) },
      'a.u64': { type: 'uint64', value: 2n ** 64n - 1n },
      'a.i64': { type: 'int64', value: -5 },
      'a.f64': { type: 'float64', value: Math.PI },
      'a.strings': { type: 'array', elementType: 'string', value: ['x', ''] },
      'a.bools': { type: 'array', elementType: 'bool', value: Uint8Array.of(0, 1) },
      'a.u64s': { type: 'array', elementType: 'uint64', value: BigUint64Array.of(7n) },
      'a.nested': {
        type: 'array',
        elementType: 'array',
        value: [
          { type: 'array', elementType: 'uint8', value: Uint8Array.of(1, 2) },
          { type: 'array', elementType: 'string', value: ['deep'] },
        ],
      },
    });
  });

  it('turns dimensions round and reads ranges of a tensor', async () => {
    const data = Buffer.from(Array.from({ length: 64 + 12 }, (_, i) => i));
    const file = await open({ infos: [info('w', [8, 2], 0, 0), info('bias', [3], 0, 64)], data });
    const weight = file.tensors.get('w')!;
    expect(weight).toMatchObject({ dtype: 'f32', shape: [2, 8], byteLength: 64 });
    expect(file.tensors.get('bias')).toMatchObject({ shape: [3], byteLength: 12 });
    const middle = new Uint8Array(4);
    await file.read(weight, 10, middle);
    expect([...middle]).toEqual([10, 11, 12, 13]);
    expect((await readTensor(file, file.tensors.get('bias')!))[0]).toBe(64);
    for (const byteOffset of [-1, 61, 0.5, Number.NaN]) {
      await expect(file.read(weight, byteOffset, middle)).rejects.toThrow(InvalidArgumentError);
    }
    await expect(file.read({ ...weight, file: '/etc/passwd' }, 0, middle)).rejects.toThrow(/not part of this model/);
    await file.close();
    await file.close();
    await expect(file.read(weight, 0, middle)).rejects.toThrow(/is closed/);
  });

  it('reads into shared memory', async () => {
    const file = await open({ infos: [info('w', [4], 0, 0)], data: Buffer.alloc(16, 7) });
    const target = new Uint8Array(new SharedArrayBuffer(16));
    await file.read(file.tensors.get('w')!, 0, target);
    await file.close();
    expect([...target]).toEqual(new Array(16).fill(7));
  });

  it('lists types it cannot compute with, by name and size', async () => {
    const infos = [info('a', [256, 2], 19, 0), info('b', [32], 39, 128), info('c', [5], 24, 160)];
    const file = await open({ infos, data: Buffer.alloc(192) });
    const listed = [...file.tensors.values()].map(({ dtype, byteLength }) => [dtype, byteLength]);
    await file.close();
    expect(listed).toEqual([
      ['iq1_s', 100],
      ['mxfp4', 17],
      ['i8', 5],
    ]);
  });

  it('reads version 2, honours the alignment, takes a scalar and unused bytes between and after tensors', async () => {
    const parts = {
      version: 2,
      entries: [entry('general.alignment', 4, u32(64))],
      infos: [info('scalar', [], 0, 0), info('w', [1], 0, 128)],
      alignment: 64,
      data: Buffer.concat([f32(2), Buffer.alloc(124, 0xff), f32(3), Buffer.alloc(9, 0xff)]),
    };
    const file = await open(parts);
    expect(file).toMatchObject({ version: 2, alignment: 64 });
    expect(file.tensors.get('scalar')!.shape).toEqual([]);
    expect((await readTensor(file, file.tensors.get('w')!)).join()).toBe(f32(3).join());
    await file.close();
  });

  it('reads strings and arrays larger than its window, and not the tensors', async () => {
    const long = 'long '.repeat(200_000);
    const tokens = Array.from({ length: 60_000 }, (_, i) => `token ${i}${i % 1000 === 0 ? 'é'.repeat(500) : ''}`);
    const bytes = ggufBytes({
      entries: [
        entry('long', 8, str(long)),
        entry('tokens', 9, ...array(8, tokens.length, ...tokens.map(str))),
        entry('numbers', 9, u32(6), u64(300_000), Buffer.from(new Float32Array(300_000).fill(1.5).buffer)),
        entry('last', 4, u32(9)),
      ],
      infos: [info('w', [2 ** 22], 24, 0)],
      data: Buffer.alloc(2 ** 22),
    });
    const file = await open(bytes);
    expect(file.fields.string('long')).toBe(long);
    expect(file.fields.strings('tokens')).toEqual(tokens);
    expect(file.fields.numbers('numbers')[299_999]).toBe(1.5);
    expect(file.fields.uint('last')).toBe(9);
    expect(file.numBytesRead).toBeLessThan(bytes.length - 2 ** 22 + 2 ** 19);
    await file.close();
  });

  it('replaces bytes of a value that are not UTF-8', async () => {
    const file = await open({ entries: [entry('general.name', 8, str(Buffer.from([0x41, 0xff, 0x42])))] });
    await file.close();
    expect(file.fields.string('general.name')).toBe('A\ufffdB');
  });
});
