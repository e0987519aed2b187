/** One file per way to lie: each must be refused where it lies. */
import { describe, expect, it } from 'vitest';
import { openGguf } from '../../../../formats/gguf/open-gguf.ts';
import { formatError } from '../../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../../helpers/temporary-folder.ts';
import { entry, type FileParts, ggufBytes, info, str, u8, u32, u64 } from '../support/gguf-bytes.ts';

const folder = useTemporaryFolder();
const array = (type: number, count: number | bigint, ...values: Buffer[]) => [u32(type), u64(count), ...values];

async function open(parts: FileParts | Buffer) {
  return await openGguf(await folder.put('model.gguf', Buffer.isBuffer(parts) ? parts : ggufBytes(parts)));
}

const TENSOR = [info('w', [4], 0, 0)];
const DATA = Buffer.alloc(16);
const deepArray = (depth: number): Buffer[] => (depth === 0 ? array(0, 0) : array(9, 1, ...deepArray(depth - 1)));

/** What is wrong, the file, the field and where, a part of the message. */
const HOSTILE: readonly (readonly [string, FileParts | Buffer, string, number, RegExp])[] = [
  ['another magic', { magic: 'GGML' }, 'magic', 0, /begins with bytes 47474d4c/],
  ['one byte', Buffer.from('G'), 'magic', 0, /needs 4 bytes, but only 1 are left/],
  ['no version', Buffer.from('GGUF'), 'version', 4, /only 0 are left/],
  ['version 1', { version: 1 }, 'version', 4, /version 1; Quern reads 2 and 3/],
  ['version 4', { version: 4 }, 'version', 4, /version 4/],
  ['big-endian', { version: 0x0300_0000 }, 'version', 4, /big-endian/],
  ['big-endian magic', { magic: 'FUGG', version: 0x0300_0000 }, 'version', 4, /big-endian/],
  ['2^64 - 1 tensors', { tensorCount: 2n ** 64n - 1n }, 'tensor_count', 8, /claims 18446744073709551615 tensors/],
  [
    'more tensors than data',
    { tensorCount: 4, infos: [...TENSOR, Buffer.alloc(80)] },
    'tensor_count',
    8,
    /with their data/,
  ],
  ['2^63 entries', { entryCount: 2n ** 63n }, 'metadata_kv_count', 16, /claims 9223372036854775808 metadata/],
  [
    'a key beyond the end',
    { entries: [u64(2 ** 40), Buffer.alloc(20)], entryCount: 1 },
    'metadata key 0',
    24,
    /claims 1099511627776 bytes/,
  ],
  ['an empty key', { entries: [entry('', 4, u32(1))] }, 'metadata key 0', 24, /is empty/],
  [
    'a key that is not UTF-8',
    { entries: [entry(Buffer.from([0xc3, 0x28]), 4, u32(1))] },
    'metadata key 0',
    24,
    /UTF-8/,
  ],
  [
    'a key of 65,536 bytes',
    { entries: [entry('k'.repeat(65_536), 4, u32(1))] },
    'metadata key 0',
    24,
    /more than the 65535/,
  ],
  ['a key twice', { entries: [entry('k', 4, u32(1)), entry('k', 4, u32(2))] }, 'k', 41, /occurs twice/],
  ['value type 13', { entries: [entry('k', 13, u32(1))] }, 'k', 33, /value type 13 is unknown/],
  ['a bool of 2', { entries: [entry('k', 7, u8(2))] }, 'k', 37, /must be 0 or 1, got 2/],
  [
    'a bool of 2 in an array',
    { entries: [entry('k', 9, ...array(7, 3, u8(1), u8(0), u8(2)))] },
    'k',
    51,
    /0 or 1, got 2/,
  ],
  [
    'a string beyond the end',
    { entries: [entry('k', 8, u64(2n ** 64n - 1n))] },
    'k',
    37,
    /claims 18446744073709551615 bytes/,
  ],
  [
    '2^61 numbers',
    { entries: [entry('k', 9, ...array(12, 2n ** 61n))] },
    'k',
    41,
    /claims 2305843009213693952 float64 values/,
  ],
  ['2^40 strings', { entries: [entry('k', 9, ...array(8, 2n ** 40n))] }, 'k', 41, /claims 1099511627776 strings/],
  ['2^40 arrays', { entries: [entry('k', 9, ...array(9, 2n ** 40n))] }, 'k', 41, /claims 1099511627776 arrays/],
  [
    'a string in an array beyond the end',
    { entries: [entry('k', 9, ...array(8, 1, u64(99)))] },
    'k',
    49,
    /claims 99 bytes/,
  ],
  ['arrays nested 9 deep', { entries: [entry('k', 9, ...deepArray(8))] }, 'k', 133, /nest deeper than 8/],
  [
    '70,000 nested arrays',
    { entries: [entry('k', 9, u32(9), u64(70_000), Buffer.alloc(840_000))] },
    'k',
    37,
    /more than 65536 nested/,
  ],
  [
    'alignment 0',
    { entries: [entry('general.alignment', 4, u32(0))] },
    'general.alignment',
    49,
    /must be a uint32 power of two from 8/,
  ],
  ['alignment 24', { entries: [entry('general.alignment', 4, u32(24))] }, 'general.alignment', 49, /power of two/],
  [
    'alignment 2^31',
    { entries: [entry('general.alignment', 4, u32(2 ** 31))] },
    'general.alignment',
    49,
    /to 16777216/,
  ],
  [
    'alignment as text',
    { entries: [entry('general.alignment', 8, str('32'))] },
    'general.alignment',
    49,
    /must be a uint32/,
  ],
  ['a name twice', { infos: [...TENSOR, ...TENSOR], data: Buffer.alloc(99) }, 'tensor w', 57, /occurs twice/],
  ['no name', { infos: [info('', [4], 0, 0)], data: DATA }, 'name of tensor 0', 24, /is empty/],
  ['5 dimensions', { infos: [info('w', [1, 1, 1, 1, 1], 0, 0)], data: DATA }, 'tensor w', 33, /claims 5 dimensions/],
  [
    '2^32 - 1 dimensions',
    { infos: [Buffer.concat([str('w'), u32(2 ** 32 - 1)])], data: Buffer.alloc(64) },
    'tensor w',
    33,
    /claims 4294967295 dimensions/,
  ],
  ['a dimension of 0', { infos: [info('w', [4, 0], 0, 0)], data: DATA }, 'tensor w', 45, /dimension 1 has size 0/],
  [
    'a dimension of 2^64 - 1',
    { infos: [info('w', [2n ** 64n - 1n], 0, 0)], data: DATA },
    'tensor w',
    37,
    /size 18446744073709551615/,
  ],
  [
    'a product beyond 2^53',
    { infos: [info('w', [2 ** 30, 2 ** 30], 0, 0)], data: DATA },
    'tensor w',
    33,
    /more than 2\^53 elements/,
  ],
  ['bytes beyond 2^53', { infos: [info('w', [2 ** 52], 0, 0)], data: DATA }, 'tensor w', 24, /too many elements/],
  [
    'a product that wraps to 16 bytes',
    { infos: [info('w', [2n ** 62n + 4n], 0, 0)], data: DATA },
    'tensor w',
    37,
    /dimension 0/,
  ],
  ['unknown ggml type 4', { infos: [info('w', [4], 4, 0)], data: DATA }, 'tensor w', 45, /ggml type 4 is unknown/],
  [
    'rows of half a quant block',
    { infos: [info('w', [48], 2, 0)], data: DATA },
    'tensor w',
    24,
    /rows of q4_0 are a multiple of 32/,
  ],
  ['an unaligned offset', { infos: [info('w', [1], 0, 4)], data: DATA }, 'tensor w', 24, /offset 4 is not a multiple/],
  ['an offset beyond the end', { infos: [info('w', [4], 0, 64)], data: DATA }, 'tensor w', 24, /file ends at 80/],
  [
    'an offset that wraps round',
    { infos: [info('w', [4], 0, 2n ** 64n - 64n)], data: DATA },
    'tensor w',
    24,
    /file ends/,
  ],
  [
    'data cut by one byte',
    { infos: TENSOR, data: Buffer.alloc(15) },
    'tensor w',
    24,
    /needs 16 bytes at 64.*ends at 79/,
  ],
  [
    'overlapping tensors',
    { infos: [info('v', [16], 0, 0), info('w', [4], 0, 32)], data: Buffer.alloc(64) },
    'tensor w',
    57,
    /overlaps that of v/,
  ],
  [
    'the same bytes twice',
    { infos: [info('v', [4], 0, 0), info('w', [4], 0, 0)], data: Buffer.alloc(64) },
    'tensor w',
    57,
    /overlaps that of v/,
  ],
];

describe('a hostile GGUF file', () => {
  it.each(HOSTILE)('%s', async (_, parts, field, byteOffset, message) => {
    const error = await formatError(open(parts));
    expect({ field: error.field, byteOffset: error.byteOffset }).toEqual({ field, byteOffset });
    expect(error.message).toMatch(message);
    expect(error.file).toBe(folder.at('model.gguf'));
  });

  it('cut anywhere is a FormatError', async () => {
    const whole = ggufBytes({
      entries: [entry('k', 9, ...array(8, 2, str('ab'), str('c'))), entry('n', 12, u64(0))],
      infos: TENSOR,
      data: DATA,
    });
    for (let length = 1; length < whole.length; length++) {
      const error = await formatError(open(whole.subarray(0, length)));
      expect(error.byteOffset).toBeLessThanOrEqual(length);
    }
    await (await open(whole)).close();
  });
});
