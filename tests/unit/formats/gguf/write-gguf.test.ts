import { readdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../../engine/errors.ts';
import { GGML_TYPES } from '../../../../formats/gguf/ggml-type.ts';
import { type GgufArray, type GgufValue, gguf } from '../../../../formats/gguf/gguf-value.ts';
import { openGguf } from '../../../../formats/gguf/open-gguf.ts';
import { ggmlByteLength } from '../../../../formats/gguf/tensor-layout.ts';
import { type GgufContents, writeGguf } from '../../../../formats/gguf/write-gguf.ts';
import { readTensor } from '../../../../formats/tensor-file.ts';
import { rejection } from '../../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../../helpers/temporary-folder.ts';
import { entry, f32, ggufBytes, info, str, u32 } from '../support/gguf-bytes.ts';

const folder = useTemporaryFolder();

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const float32 = fc.float();

const scalar: fc.Arbitrary<GgufValue> = fc.oneof(
  fc.integer({ min: 0, max: 255 }).map((value): GgufValue => ({ type: 'uint8', value })),
  fc.integer({ min: -128, max: 127 }).map((value): GgufValue => ({ type: 'int8', value })),
  fc.integer({ min: 0, max: 65535 }).map((value): GgufValue => ({ type: 'uint16', value })),
  fc.integer({ min: -32768, max: 32767 }).map((value): GgufValue => ({ type: 'int16', value })),
  fc.nat(2 ** 32 - 1).map((value): GgufValue => ({ type: 'uint32', value })),
  fc.integer().map((value): GgufValue => ({ type: 'int32', value })),
  float32.map((value): GgufValue => ({ type: 'float32', value })),
  fc.double().map((value): GgufValue => ({ type: 'float64', value })),
  fc.boolean().map((value): GgufValue => ({ type: 'bool', value })),
  int64.map((value): GgufValue => ({ type: 'int64', value: exact(value) })),
  int64.map((value): GgufValue => ({ type: 'uint64', value: exact(BigInt.asUintN(64, value)) })),
  text.map((value): GgufValue => ({ type: 'string', value })),
);

const { array } = fc.letrec<{ array: GgufArray }>((tie) => ({
  array: fc.oneof(
    { maxDepth: 3 },
    fc.array(text).map((value): GgufArray => ({ type: 'array', elementType: 'string', value })),
    fc.int16Array().map((value): GgufArray => ({ type: 'array', elementType: 'int16', value })),
    fc.float32Array().map((value): GgufArray => ({ type: 'array', elementType: 'float32', value })),
    fc.bigUint64Array().map((value): GgufArray => ({ type: 'array', elementType: 'uint64', value })),
    fc.uint8Array({ max: 1 }).map((value): GgufArray => ({ type: 'array', elementType: 'bool', value })),
    fc
      .array(tie('array'), { maxLength: 3 })
      .map((value): GgufArray => ({ type: 'array', elementType: 'array', value })),
  ),
}));

const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }).filter((key) => key !== 'general.alignment');
const metadata = fc
  .uniqueArray(fc.tuple(name, fc.oneof(scalar, array)), { selector: ([key]) => key, maxLength: 8 })
  .map((entries) => new Map(entries));
const tensor = fc
  .record({
    name,
    type: fc.constantFrom(...GGML_TYPES),
    rows: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
    blocksPerRow: fc.integer({ min: 1, max: 2 }),
    seed: fc.nat(255),
  })
  .map(({ type, rows, blocksPerRow, seed, ...rest }) => {
    const shape = [...rows, blocksPerRow * type.blockSize];
    const bytes = Uint8Array.from({ length: ggmlByteLength(type, shape)! }, (_, i) => (i * 31 + seed) % 256);
    return { ...rest, dtype: type.name, shape, bytes };
  });
const tensors = fc.uniqueArray(tensor, { selector: (one) => one.name, maxLength: 4 });

function exact(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

describe('writeGguf', () => {
  it('writes the bytes the specification draws', async () => {
    const path = folder.at('golden.gguf');
    await writeGguf(path, {
      metadata: new Map([
        ['general.architecture', gguf.string('llama')],
        ['llama.block_count', gguf.uint32(1)],
        ['tokenizer.ggml.tokens', gguf.strings(['a', 'bc'])],
      ]),
      tensors: [
        { name: 'w', dtype: 'f32', shape: [2, 3], data: () => new Uint8Array(24).fill(1) },
        { name: 'v', dtype: 'q8_0', shape: [32], data: () => new Uint8Array(34).fill(2) },
      ],
    });
    const expected = ggufBytes({
      entries: [
        entry('general.architecture', 8, str('llama')),
        entry('llama.block_count', 4, u32(1)),
        entry('tokenizer.ggml.tokens', 9, u32(8), Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), str('a'), str('bc')),
      ],
      infos: [info('w', [3, 2], 0, 0), info('v', [32], 8, 32)],
      data: Buffer.concat([Buffer.alloc(24, 1), Buffer.alloc(8), Buffer.alloc(34, 2), Buffer.alloc(30)]),
    });
    expect((await readFile(path)).equals(expected)).toBe(true);
  });

  it('writes what openGguf reads back', async () => {
    const path = folder.at('round-trip.gguf');
    const alignment = fc.constantFrom(undefined, 8, 32, 256);
    await fc.assert(
      fc.asyncProperty(metadata, tensors, alignment, async (entries, sources, align) => {
        const written = sources.map(({ bytes, ...source }) => ({ ...source, data: () => chunked(bytes) }));
        const alignmentOption = align === undefined ? {} : { alignment: align };
        await writeGguf(path, { metadata: entries, tensors: written, ...alignmentOption });
        await using file = await openGguf(path);
        const read = new Map(file.metadata);
        read.delete('general.alignment');
        expect(read).toEqual(entries);
        expect(file.alignment).toBe(align ?? 32);
        expect([...file.tensors.keys()]).toEqual(sources.map((source) => source.name));
        for (const source of sources) {
          const stored = file.tensors.get(source.name)!;
          expect(stored).toMatchObject({ dtype: source.dtype, shape: source.shape });
          expect(stored.byteOffset % file.alignment).toBe(0);
          expect(await readTensor(file, stored)).toEqual(source.bytes);
        }
      }),
    );
  });

  it('writes headers of any size', async () => {
    // Each value type once when the header's buffer must grow: it begins with 64 KiB.
    const entries = new Map<string, GgufValue>([
      ['tokens', gguf.strings(Array.from({ length: 50_000 }, (_, i) => `token ${i}`))],
      ['scores', gguf.float32s(new Float32Array(500_000).fill(0.5))],
      ['text', gguf.string('x'.repeat(5_000_000))],
    ]);
    for (let i = 0; i < 6000; i++) entries.set(`key.${i}`, gguf.uint32(i));
    await writeGguf(folder.at('large.gguf'), { metadata: entries, tensors: [] });
    await using file = await openGguf(folder.at('large.gguf'));
    expect(new Map(file.metadata)).toEqual(entries);
  });

  it('takes its tensors from an asynchronous source, each one when it is written', async () => {
    const asked: string[] = [];
    async function* sources() {
      for (const each of ['a', 'b', 'c']) {
        const data = async () => {
          asked.push(each);
          return new Uint8Array(f32(each.charCodeAt(0)));
        };
        yield { name: each, dtype: 'f32', shape: [1], data };
      }
    }
    await writeGguf(folder.at('async.gguf'), { metadata: new Map(), tensors: sources() });
    await using file = await openGguf(folder.at('async.gguf'));
    expect(asked).toEqual(['a', 'b', 'c']);
    expect(Buffer.from(await readTensor(file, file.tensors.get('c')!)).readFloatLE()).toBe(99);
  });

  const one = (changes: object) => ({ name: 'w', dtype: 'f32', shape: [1], data: () => new Uint8Array(4), ...changes });
  const value = (entryValue: unknown): GgufContents => ({
    metadata: new Map([['k', entryValue as GgufValue]]),
    tensors: [],
  });
  const holding = (...list: ReturnType<typeof one>[]): GgufContents => ({ metadata: new Map(), tensors: list });
  it.each<[string, GgufContents, RegExp]>([
    ['too little data', holding(one({ shape: [2] })), /takes 8 bytes, got 4/],
    ['too much data', holding(one({ data: () => [new Uint8Array(3), new Uint8Array(9)] })), /takes 4 bytes, got more/],
    ['a tensor type GGUF lacks', holding(one({ dtype: 'f8_e4m3' })), /GGUF has no tensor type f8_e4m3/],
    ['half a quant block', holding(one({ dtype: 'q4_0', shape: [2, 16] })), /rows of q4_0 must be a multiple of 32/],
    ['a dimension of 0', holding(one({ shape: [0] })), /\[0\] is not possible/],
    ['5 dimensions', holding(one({ shape: [1, 1, 1, 1, 1] })), /is not possible/],
    ['a fractional size', holding(one({ shape: [1.5] })), /whole numbers/],
    ['a name twice', holding(one({}), one({})), /w is given twice/],
    ['no name', holding(one({ name: '' })), /must not be empty/],
    ['half a surrogate pair', holding(one({ name: '\ud800' })), /not valid Unicode/],
    ['256 as uint8', value({ type: 'uint8', value: 256 }), /256 does not fit into uint8/],
    ['-1 as uint64', value({ type: 'uint64', value: -1 }), /-1 does not fit into uint64/],
    ['0.5 as int64', value({ type: 'int64', value: 0.5 }), /0.5 does not fit into int64/],
    ['2^63 as int64', value({ type: 'int64', value: 2n ** 63n }), /does not fit into int64/],
    ['text as uint32', value({ type: 'uint32', value: 'x' }), /x does not fit into uint32/],
    ['a number as bool', value({ type: 'bool', value: 1 }), /1 does not fit into bool/],
    ['half a surrogate in a value', value({ type: 'string', value: '\ud800' }), /not valid Unicode/],
    ['an unknown value type', value({ type: 'uint128', value: 1 }), /uint128 is not a GGUF value type/],
    ['a plain array of numbers', value({ type: 'array', elementType: 'int32', value: [1] }), /must be a typed array/],
    ['alignment 12', { ...holding(), alignment: 12 }, /power of two from 8 to 16777216, got 12/],
    [
      'two alignments',
      { metadata: new Map([['general.alignment', gguf.uint32(64)]]), tensors: [], alignment: 32 },
      /32, but general.alignment says 64/,
    ],
  ])('refuses %s and leaves nothing behind', async (_, contents, message) => {
    const path = folder.at('refused.gguf');
    const error = await rejection(writeGguf(path, contents));
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect((error as Error).message).toMatch(message);
    expect((await readdir(dirname(path))).filter((file) => file.includes('refused'))).toEqual([]);
  });

  it('keeps the old file when writing the new one fails', async () => {
    const path = await folder.put('kept.gguf', 'old');
    const failing = () => {
      throw new Error('the disk of the source failed');
    };
    const error = await rejection(writeGguf(path, holding(one({ data: failing }))));
    expect(String(error)).toMatch(/disk of the source/);
    expect(await readFile(path, 'utf8')).toBe('old');
  });

  it('names a folder that is not there', async () => {
    const error = await rejection(writeGguf(folder.at('nowhere/x.gguf'), holding()));
    expect(String(error)).toMatch(/nowhere.x\.gguf: cannot be written: there is no such folder/);
  });
});

function chunked(bytes: Uint8Array): Uint8Array[] {
  const middle = bytes.length >> 1;
  return [bytes.subarray(0, middle), bytes.subarray(middle)];
}
