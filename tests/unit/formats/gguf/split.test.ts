import { rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { type GgufValue, gguf } from '../../../../formats/gguf/gguf-value.ts';
import { openGguf } from '../../../../formats/gguf/open-gguf.ts';
import { formatSplitName, parseSplitName } from '../../../../formats/gguf/split-name.ts';
import { writeGguf } from '../../../../formats/gguf/write-gguf.ts';
import { readTensor } from '../../../../formats/tensor-file.ts';
import { formatError } from '../../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

interface ShardPlan {
  readonly names: readonly string[];
  readonly metadata?: Readonly<Record<string, GgufValue>>;
}

/** Writes shards as `gguf-split` does: `split.*` in each, everything else in the first. */
async function writeShards(name: string, plans: readonly ShardPlan[]): Promise<string[]> {
  const total = plans.flatMap(({ names }) => names).length;
  const paths = plans.map((_, index) => formatSplitName({ prefix: folder.at(name), index, count: plans.length }));
  for (const [index, plan] of plans.entries()) {
    await writeGguf(paths[index]!, {
      metadata: new Map<string, GgufValue>([
        ...(index === 0 ? ([['general.architecture', gguf.string('llama')]] as const) : []),
        ['split.no', gguf.uint16(index)],
        ['split.count', gguf.uint16(plans.length)],
        ['split.tensors.count', gguf.int32(total)],
        ...Object.entries(plan.metadata ?? {}),
      ]),
      tensors: plan.names.map((tensorName) => ({
        name: tensorName,
        dtype: 'i8',
        shape: [4],
        data: () => new Uint8Array(4).fill(tensorName.charCodeAt(0)),
      })),
    });
  }
  return paths;
}

describe('a split GGUF model', () => {
  it('opens whole by any of its shards', async () => {
    const paths = await writeShards('good', [{ names: [] }, { names: ['a', 'b'] }, { names: ['c'] }]);
    for (const path of paths) {
      await using file = await openGguf(path);
      expect(file.shards.map((shard) => shard.path)).toEqual(paths);
      expect(file.fields.string('general.architecture')).toBe('llama');
      expect([...file.tensors.keys()]).toEqual(['a', 'b', 'c']);
      for (const tensor of file.tensors.values()) {
        expect((await readTensor(file, tensor))[3]).toBe(tensor.name.charCodeAt(0));
      }
      expect(file.tensors.get('c')!.file).toBe(paths[2]);
    }
  });

  it.each<[string, readonly ShardPlan[], string, RegExp]>([
    [
      'a count of its own',
      [{ names: ['a'] }, { names: ['b'], metadata: { 'split.count': gguf.uint16(3) } }],
      'split.count',
      /says 3 shards, but the others say 2/,
    ],
    [
      'the place of another',
      [{ names: ['a'] }, { names: ['b'], metadata: { 'split.no': gguf.uint16(0) } }],
      'split.no',
      /says 0, but by its name this is shard 1/,
    ],
    [
      'no place',
      [{ names: ['a'] }, { names: ['b'], metadata: { 'split.no': gguf.string('1') } }],
      'split.no',
      /must be a whole number/,
    ],
    [
      'a tensor of another',
      [{ names: ['a'] }, { names: ['a'] }],
      'tensor a',
      /the same tensor is also in .*00001-of-00002/,
    ],
    [
      'a wrong total',
      [{ names: ['a'] }, { names: ['b'], metadata: { 'split.tensors.count': gguf.int32(9) } }],
      'split.tensors.count',
      /says 9 tensors, but the shards hold 2/,
    ],
  ])('refuses a shard with %s', async (name, plans, field, message) => {
    const [first] = await writeShards(name, plans);
    const error = await formatError(openGguf(first!));
    expect(error.field).toBe(field);
    expect(error.message).toMatch(message);
  });

  it('refuses a model with a shard missing, and says which', async () => {
    const paths = await writeShards('missing', [{ names: ['a'] }, { names: ['b'] }]);
    await rm(paths[1]!);
    expect((await formatError(openGguf(paths[0]!))).message).toMatch(/missing-00002-of-00002\.gguf: no such file/);
  });

  it('refuses a shard that was renamed, and a single file that lacks tensors', async () => {
    const metadata = (count: number) =>
      new Map([
        ['split.count', gguf.uint16(count)],
        ['split.tensors.count', gguf.int32(1)],
      ]);
    await writeGguf(folder.at('renamed.gguf'), { metadata: metadata(2), tensors: [] });
    expect((await formatError(openGguf(folder.at('renamed.gguf')))).message).toMatch(
      /must end in -00001-of-00002\.gguf/,
    );
    await writeGguf(folder.at('lacking.gguf'), { metadata: metadata(1), tensors: [] });
    expect((await formatError(openGguf(folder.at('lacking.gguf')))).message).toMatch(
      /says 1 tensors, but the shards hold 0/,
    );
  });
});

describe('shard names', () => {
  it('are parsed and formatted', () => {
    const name = { prefix: '/m/llama-00001-of-00002', index: 8, count: 12 };
    expect(formatSplitName(name)).toBe('/m/llama-00001-of-00002-00009-of-00012.gguf');
    expect(parseSplitName(formatSplitName(name))).toEqual(name);
  });

  it.each([
    'llama.gguf',
    'llama-00000-of-00002.gguf',
    'llama-00003-of-00002.gguf',
    'llama-1-of-2.gguf',
    '-00001-of-00002',
  ])('%s is none', (path) => expect(parseSplitName(path)).toBeUndefined());
});
