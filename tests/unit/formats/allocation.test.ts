/** Files that are small on disk and hope to be large in memory. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { openGguf } from '../../../formats/gguf/open-gguf.ts';
import { MAX_NESTED_ARRAYS } from '../../../formats/gguf/read-value.ts';
import { parseJson } from '../../../formats/json/parse-json.ts';
import { openSafetensors } from '../../../formats/safetensors/open-safetensors.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';
import { entry, ggufBytes, info, str, u8, u32, u64 } from './support/gguf-bytes.ts';
import { safetensorsBytes } from './support/safetensors-bytes.ts';

const folder = useTemporaryFolder();
const COUNT = 60_000;
/** Memory held per byte of the file. */
const MAX_RATIO = 16;
/** What opening any file may take: a window, some maps. */
const FREE_BYTES = 2 ** 21;

function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Memory that the result of `make` holds. */
async function costOf(make: () => Promise<unknown> | unknown): Promise<number> {
  const before = heldBytes();
  const result = await make();
  const cost = heldBytes() - before;
  // Keeps the result reachable until here.
  expect(result).toBeDefined();
  return cost;
}

const many = <T>(make: (i: number) => T): T[] => Array.from({ length: COUNT }, (_, i) => make(i));
const arrayEntry = (type: number, elements: readonly Buffer[]) =>
  entry('k', 9, u32(type), u64(elements.length), ...elements);

const GGUF_FILES: readonly (readonly [string, () => Buffer])[] = [
  ['metadata entries', () => ggufBytes({ entries: many((i) => entry(i.toString(36), 0, u8(1))) })],
  [
    'empty strings',
    () =>
      ggufBytes({
        entries: [
          arrayEntry(
            8,
            many(() => u64(0)),
          ),
        ],
      }),
  ],
  [
    'short strings',
    () =>
      ggufBytes({
        entries: [
          arrayEntry(
            8,
            many((i) => str(i.toString(36))),
          ),
        ],
      }),
  ],
  [
    'strings of bytes that are not UTF-8',
    () =>
      ggufBytes({
        entries: [
          arrayEntry(
            8,
            many(() => str(Buffer.alloc(9, 0xff))),
          ),
        ],
      }),
  ],
  [
    'tensors of one byte',
    () => {
      const infos = many((i) => info(i.toString(36), [], 24, i * 8));
      const entries = [entry('general.alignment', 4, u32(8))];
      return ggufBytes({ entries, infos, data: Buffer.alloc(COUNT * 8) });
    },
  ],
];

describe('memory held by an opened file', () => {
  it.each(GGUF_FILES)('GGUF with nothing but %s is a small multiple of the file', async (_, make) => {
    const path = await folder.put('model.gguf', make());
    const { byteLength } = make();
    const cost = await costOf(async () => {
      const file = await openGguf(path);
      await file.close();
      return file;
    });
    expect(cost).toBeLessThan(MAX_RATIO * byteLength + FREE_BYTES);
  });

  it('empty nested arrays are bounded by their number', async () => {
    const arrays = Array.from({ length: MAX_NESTED_ARRAYS }, () => Buffer.concat([u32(0), u64(0)]));
    const path = await folder.put('nested.gguf', ggufBytes({ entries: [arrayEntry(9, arrays)] }));
    const cost = await costOf(async () => {
      const file = await openGguf(path);
      await file.close();
      return file;
    });
    expect(cost).toBeLessThan(32 * 2 ** 20);
  });

  it('safetensors with nothing but empty tensors is a small multiple of the file', async () => {
    const entries = many((i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`);
    const bytes = safetensorsBytes(`{${entries.join(',')}}`);
    const path = await folder.put('model.safetensors', bytes);
    const cost = await costOf(async () => {
      const file = await openSafetensors(path);
      await file.close();
      return file;
    });
    expect(cost).toBeLessThan(MAX_RATIO * bytes.length + FREE_BYTES);
  });

  it.each([
    ['short arrays', many(() => '[1,2,3]')],
    ['objects', many((i) => `{"key ${i}":${i},"other":[]}`)],
    ['objects as short as possible', many((i) => `{"${i.toString(36)}":1}`)],
    ['empty objects', many(() => '{}')],
  ])('JSON with nothing but %s is a small multiple of the text, or refused', async (_, elements) => {
    const bytes = Buffer.from(`[${elements.join(',')}]`);
    const cost = await costOf(() => {
      try {
        return parseJson(bytes, 'x.json');
      } catch (error) {
        return error;
      }
    });
    expect(cost).toBeLessThan(MAX_RATIO * bytes.length + FREE_BYTES);
  });
});
