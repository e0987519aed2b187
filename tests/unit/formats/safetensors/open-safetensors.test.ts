import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../../formats/safetensors/open-safetensors.ts';
import { readTensor } from '../../../../formats/tensor-file.ts';
import { formatError } from '../../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../../helpers/temporary-folder.ts';
import { described, safetensorsBytes } from '../support/safetensors-bytes.ts';

const folder = useTemporaryFolder();
const open = async (bytes: Uint8Array) => openSafetensors(await folder.put('model.safetensors', bytes));

describe('a safetensors file made by hand', () => {
  it('gives tensors and metadata', async () => {
    const header = {
      b: described('BF16', [2, 2], 4, 12),
      __metadata__: { format: 'pt' },
      a: described('F32', [], 0, 4),
      empty: described('F16', [0, 5], 12, 12),
      'with "quotes"': described('U8', [1], 12, 13),
      packed: described('F4', [2, 3], 13, 16),
    };
    const data = Uint8Array.from({ length: 16 }, (_, i) => i);
    await using file = await open(safetensorsBytes(`${JSON.stringify(header)}   `, data));
    expect(Object.fromEntries(file.metadata)).toEqual({ format: 'pt' });
    const listed = [...file.tensors.values()].map(({ name, dtype, shape, byteLength }) => [
      name,
      dtype,
      shape,
      byteLength,
    ]);
    expect(listed).toEqual([
      ['a', 'f32', [], 4],
      ['b', 'bf16', [2, 2], 8],
      ['empty', 'f16', [0, 5], 0],
      ['with "quotes"', 'u8', [1], 1],
      ['packed', 'f4', [2, 3], 3],
    ]);
    expect([...(await readTensor(file, file.tensors.get('b')!))]).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect([...(await readTensor(file, file.tensors.get('empty')!))]).toEqual([]);
  });

  it('keeps a tensor named __proto__ apart from prototypes', async () => {
    const header = '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
    await using file = await open(safetensorsBytes(header, Uint8Array.of(5)));
    expect([...file.tensors.keys()]).toEqual(['__proto__']);
  });
});

const one = (entry: object | string) =>
  safetensorsBytes(`{"w":${typeof entry === 'string' ? entry : JSON.stringify(entry)}}`, new Uint8Array(8));
const two = (a: readonly [number, number], b: readonly [number, number]) => {
  const entries = { a: described('U8', [a[1] - a[0]], ...a), b: described('U8', [b[1] - b[0]], ...b) };
  return safetensorsBytes(entries, new Uint8Array(8));
};
const withLength = (length: bigint) => {
  const bytes = one(described('U8', [8], 0, 8));
  bytes.writeBigUInt64LE(length);
  return bytes;
};

const HOSTILE: readonly (readonly [string, Uint8Array, string, RegExp])[] = [
  ['3 bytes', Buffer.from('abc'), 'header length', /needs 8 bytes, but only 3 are left/],
  ['a header of 2^64 - 1 bytes', withLength(2n ** 64n - 1n), 'header', /claims 18446744073709551615 bytes/],
  ['a header longer than the file', withLength(1000n), 'header', /claims 1000 bytes, but only/],
  ['no header', withLength(0n), 'header', /must begin with '{'/],
  ['a header cut short', withLength(20n), 'w', /the string does not end/],
  ['an array as header', safetensorsBytes('[]'), 'header', /must begin with '{'/],
  ['white space first', safetensorsBytes(' {}'), 'header', /must begin with '{'/],
  ['no UTF-8', Buffer.from(safetensorsBytes('{"\u00ff":1}')).fill(0xff, 10, 12), 'header', /not valid UTF-8/],
  ['text after the header', safetensorsBytes('{} x'), 'JSON', /expected the end/],
  ['a name twice', safetensorsBytes('{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{}}'), 'w', /twice/],
  ['a name twice, escaped', safetensorsBytes('{"__metadata__":{},"__metadata\\u005f_":{}}'), '__metadata__', /twice/],
  ['metadata that is no text', safetensorsBytes('{"__metadata__":{"a":1}}'), '__metadata__.a', /expected '"'/],
  ['metadata with a key twice', safetensorsBytes('{"__metadata__":{"a":"","a":""}}'), '__metadata__.a', /twice/],
  ['a million brackets', safetensorsBytes(`{"w":${'['.repeat(1_000_000)}`), 'w', /expected '{'/],
  [
    'a million brackets in a shape',
    safetensorsBytes(`{"w":{"shape":${'['.repeat(1_000_000)}`),
    'w.shape',
    /expected a number/,
  ],
  ['a number as entry', one('5'), 'w', /expected '{'/],
  ['no dtype', one({ shape: [8], data_offsets: [0, 8] }), 'w', /must have a dtype/],
  ['no shape', one({ dtype: 'U8', data_offsets: [0, 8] }), 'w', /must have a dtype, a shape/],
  ['one offset', one({ dtype: 'U8', shape: [8], data_offsets: [8] }), 'w', /two data_offsets/],
  ['three offsets', one({ dtype: 'U8', shape: [8], data_offsets: [0, 8, 8] }), 'w.data_offsets', /more than 2 numbers/],
  ['a key twice', one('{"dtype":"U8","dtype":"F32"}'), 'w.dtype', /each once/],
  ['another key', one({ ...described('U8', [8], 0, 8), extra: 1 }), 'w.extra', /must be dtype, shape or data_offsets/],
  ['an unknown dtype', one(described('F31', [8], 0, 8)), 'w.dtype', /F31 is unknown/],
  ['a dtype in lower case', one(described('u8', [8], 0, 8)), 'w.dtype', /u8 is unknown/],
  ['a negative size', one(described('U8', [-8], 0, 8)), 'w.shape', /whole number from 0/],
  ['a fractional size', one(described('U8', [0.5], 0, 8)), 'w.shape', /whole number from 0/],
  ['a size of 2^60', one('{"dtype":"U8","shape":[1152921504606846976],"data_offsets":[0,8]}'), 'w.shape', /2\^53/],
  [
    'a product beyond 2^53',
    one(described('U8', [2 ** 40, 2 ** 40], 0, 8)),
    'w.shape',
    /more elements than can be counted/,
  ],
  ['33 dimensions', one(described('U8', new Array(33).fill(1), 0, 1)), 'w.shape', /more than 32 numbers/],
  ['half a byte', one(described('F4', [1], 0, 1)), 'w.shape', /4 bits are not whole bytes/],
  ['offsets that do not fit the shape', one(described('F32', [8], 0, 8)), 'w.data_offsets', /takes 32 bytes/],
  ['offsets the wrong way round', one(described('U8', [8], 8, 0)), 'w.data_offsets', /8 to 0/],
  ['data beyond the end', one(described('U8', [9], 0, 9)), 'w.data_offsets', /holds only 8 bytes/],
  ['an offset of 2^53 - 1', one(described('U8', [0], 2 ** 53 - 1, 2 ** 53 - 1)), 'w.data_offsets', /hole/],
  [
    'bytes nobody owns at the end',
    one(described('U8', [7], 0, 7)),
    'header',
    /cover 7 bytes of data, but the file holds 8/,
  ],
  ['a hole', two([0, 4], [5, 8]), 'b.data_offsets', /leaves a hole/],
  ['an overlap', two([0, 5], [4, 8]), 'b.data_offsets', /overlaps/],
  ['the same bytes twice', two([0, 8], [0, 8]), 'b.data_offsets', /overlaps/],
];

describe('a hostile safetensors file', () => {
  it.each(HOSTILE)('%s', async (_, bytes, field, message) => {
    const error = await formatError(open(bytes));
    expect(error.field).toBe(field);
    expect(error.message).toMatch(message);
    expect(error.byteOffset).toBeLessThanOrEqual(bytes.length);
  });

  it('cut anywhere is a FormatError', async () => {
    const whole = safetensorsBytes({ a: described('F32', [2], 0, 8) }, new Uint8Array(8));
    for (let length = 1; length < whole.length; length++) await formatError(open(whole.subarray(0, length)));
    await (await open(whole)).close();
  });
});

describe('a sharded safetensors model', () => {
  const shard = (name: string) => safetensorsBytes({ [name]: described('U8', [1], 0, 1) }, Buffer.from(name));
  async function put(name: string, weightMap: unknown, rest = ''): Promise<string> {
    const path = folder.at(name);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'one.safetensors'), shard('a'));
    await writeFile(join(path, 'two.safetensors'), shard('b'));
    const map = typeof weightMap === 'string' ? weightMap : JSON.stringify(weightMap);
    await writeFile(
      join(path, 'model.safetensors.index.json'),
      `{"metadata":{"total_size":2},"weight_map":${map}${rest}}`,
    );
    return path;
  }

  it('opens by its folder and by its index', async () => {
    const path = await put('good', { b: 'two.safetensors', a: 'one.safetensors' });
    for (const given of [path, join(path, 'model.safetensors.index.json')]) {
      await using file = await openSafetensors(given);
      expect(file.shards.length).toBe(2);
      for (const name of ['a', 'b']) {
        expect(Buffer.from(await readTensor(file, file.tensors.get(name)!)).toString()).toBe(name);
      }
    }
  });

  it.each<[string, unknown, string, RegExp]>([
    [
      'a path out of the folder',
      { a: '../one.safetensors' },
      'weight_map.a',
      /not the name of a file in the model's folder/,
    ],
    ['an absolute path', { a: '/etc/passwd' }, 'weight_map.a', /not the name of a file/],
    ['a Windows path', { a: 'C:\\x.safetensors' }, 'weight_map.a', /not the name of a file/],
    ['a NUL', { a: 'x\0.safetensors' }, 'weight_map.a', /not the name of a file/],
    ['the index itself', { a: 'model.safetensors.index.json' }, 'weight_map.a', /not the name of a file/],
    ['a number', { a: 1 }, 'weight_map.a', /expected '"'/],
    ['a name twice', '{"a":"one.safetensors","a":"two.safetensors"}', 'weight_map.a', /occurs twice/],
    ['nothing', {}, 'weight_map', /missing or empty/],
    ['a missing shard', { a: 'three.safetensors' }, 'weight_map', /a shard cannot be opened: .*three.*: no such file/],
    [
      'a tensor its shard lacks',
      { c: 'one.safetensors' },
      'weight_map.c',
      /one\.safetensors does not hold this tensor/,
    ],
  ])('refuses an index with %s', async (name, weightMap, field, message) => {
    const error = await formatError(openSafetensors(await put(name, weightMap)));
    expect(error.field).toBe(field);
    expect(error.message).toMatch(message);
  });

  it('refuses an index with anything else', async () => {
    const path = await put('extra', { a: 'one.safetensors' }, ',"weight_map":{}');
    expect((await formatError(openSafetensors(path))).message).toMatch(/weight_map at byte \d+: is not expected/);
    const nested = await put('nested', { a: 'one.safetensors' }, ',"metadata":{"a":[]}');
    expect((await formatError(openSafetensors(nested))).message).toMatch(/must be a plain value/);
  });

  it('names what it found in a folder without a model', async () => {
    await mkdir(folder.at('other'));
    await writeFile(join(folder.at('other'), 'pytorch_model.bin'), '');
    const { message } = await formatError(openSafetensors(folder.at('other')));
    expect(message).toMatch(
      /must hold model\.safetensors or model\.safetensors\.index\.json; it holds pytorch_model\.bin/,
    );
  });
});
