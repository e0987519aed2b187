/** Whatever is done to a model file, opening and reading it ends: with a right answer, or with a FormatError that says
 * where. Never with another exception, a hang, an open handle left behind, or memory beyond a small multiple of the file.
 *
 * QUERN_RUNS=200 runs it long. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FormatError } from '../../../engine/errors.ts';
import { numElements } from '../../../engine/tensor/shape.ts';
import { FileRangeReader } from '../../../formats/file-range-reader.ts';
import { type GgufValue, gguf } from '../../../formats/gguf/gguf-value.ts';
import { openGguf } from '../../../formats/gguf/open-gguf.ts';
import { writeGguf } from '../../../formats/gguf/write-gguf.ts';
import { readHfConfig } from '../../../formats/hf/hf-config.ts';
import { openSafetensors } from '../../../formats/safetensors/open-safetensors.ts';
import { writeSafetensors, writeShardedSafetensors } from '../../../formats/safetensors/write-safetensors.ts';
import { readTensor, type TensorFile } from '../../../formats/tensor-file.ts';
import { fixturePath, hasFixtures, sharedModelPath, skipNote } from '../../helpers/fixtures.ts';
import { type Mutation, mutations } from '../../helpers/mutations.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

/** Two reads of a file's every byte, and one window per shard. */
const SLACK_BYTES = 2 ** 19;
const MAX_MS = 5_000;

vi.setConfig({ testTimeout: 60_000 * Math.max(1, Number(process.env.QUERN_RUNS ?? '1')) });
afterEach(() => vi.restoreAllMocks());

async function readAll(file: TensorFile, numFileBytes: number): Promise<void> {
  try {
    const lengths = [...file.tensors.values()].map(({ byteLength }) => byteLength);
    expect(lengths.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(numFileBytes);
    for (const tensor of file.tensors.values()) {
      expect(Number.isSafeInteger(numElements(tensor.shape))).toBe(true);
      expect((await readTensor(file, tensor)).length).toBe(tensor.byteLength);
    }
  } finally {
    await file.close();
  }
}

function numOpenFiles(): number {
  return existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0;
}

interface Subject {
  /** The damaged file. */
  readonly path: string;
  readonly original: Buffer;
  /** How far from its start damage matters most. */
  readonly headerBytes: number;
  /** Bytes of the model's other files. */
  readonly otherBytes?: number;
  readonly read: (numFileBytes: number) => Promise<void>;
}

/** Damages and reads one file, and holds the outcome against the promise at the top. */
async function expectSafe(subject: Subject, steps: readonly Mutation[]): Promise<void> {
  let bytes: Buffer = Buffer.from(subject.original);
  for (const step of steps) bytes = step(bytes);
  await writeFile(subject.path, bytes);
  const numFileBytes = bytes.length + (subject.otherBytes ?? 0);
  const reads = vi.spyOn(FileRangeReader.prototype, 'read');
  const start = performance.now();
  try {
    await subject.read(numFileBytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    expect(error.file).not.toBe('');
    expect(error.field).not.toBe('');
    expect(error.byteOffset).toBeGreaterThanOrEqual(0);
    expect(error.byteOffset).toBeLessThanOrEqual(Math.max(numFileBytes, 16));
  }
  expect(performance.now() - start).toBeLessThan(MAX_MS);
  const numBytesAsked = reads.mock.calls.reduce((sum, [, target]) => sum + target.byteLength, 0);
  reads.mockRestore();
  expect(numBytesAsked).toBeLessThanOrEqual(2 * numFileBytes + SLACK_BYTES);
}

/** @param share  of the usual number of runs, for large files */
async function expectAlwaysSafe(subject: Subject, share = 1): Promise<void> {
  const numRuns = Math.max(1, Math.round((fc.readConfigureGlobal().numRuns ?? 100) * share));
  const before = numOpenFiles();
  const memoryBefore = process.memoryUsage().arrayBuffers;
  await fc.assert(
    fc.asyncProperty(mutations(subject.headerBytes), (steps) => expectSafe(subject, steps)),
    { numRuns },
  );
  expect(numOpenFiles()).toBeLessThanOrEqual(before);
  // Garbage of a few runs may be left; a count that was believed would be gigabytes.
  expect(process.memoryUsage().arrayBuffers - memoryBefore).toBeLessThan(2 ** 28);
}

const value = (i: number) => ({ dtype: 'f32', shape: [2, 8], data: () => new Uint8Array(64).fill(i) });
const sources = () => Array.from({ length: 6 }, (_, i) => ({ name: `blk.${i}.weight`, ...value(i) }));

function smallMetadata(entries: readonly (readonly [string, GgufValue])[] = []) {
  return new Map<string, GgufValue>([
    ['general.architecture', gguf.string('llama')],
    ['general.alignment', gguf.uint32(32)],
    ['llama.block_count', gguf.uint64(2)],
    ['tokenizer.ggml.tokens', gguf.strings(['<s>', 'a', 'b', 'ab', ''])],
    ['tokenizer.ggml.scores', gguf.float32s([0, -1, -2, -3, -4])],
    ['flags', { type: 'array', elementType: 'bool', value: Uint8Array.of(1, 0, 1) }],
    ['nested', { type: 'array', elementType: 'array', value: [gguf.strings(['x']), gguf.int32s([1, 2])] }],
    ...entries,
  ]);
}

async function ggufSubject(path: string, headerBytes: number, otherBytes = 0, original?: Buffer): Promise<Subject> {
  const read = async (numFileBytes: number) => readAll(await openGguf(path), numFileBytes);
  return { path, original: original ?? readFileSync(path), headerBytes, otherBytes, read };
}

describe('a damaged small file', () => {
  it('GGUF', async () => {
    const path = folder.at('small.gguf');
    const tensors = [...sources(), { name: 'q', dtype: 'q4_0', shape: [2, 32], data: () => new Uint8Array(36) }];
    await writeGguf(path, { metadata: smallMetadata(), tensors });
    await expectAlwaysSafe(await ggufSubject(path, 900));
  });

  it('one shard of a split GGUF', async () => {
    const paths = [1, 2].map((number) => folder.at(`split-0000${number}-of-00002.gguf`));
    for (const [index, path] of paths.entries()) {
      const split = [
        ['split.no', gguf.uint16(index)],
        ['split.count', gguf.uint16(2)],
        ['split.tensors.count', gguf.int32(6)],
      ] as const;
      await writeGguf(path, { metadata: smallMetadata(split), tensors: sources().slice(index * 3, index * 3 + 3) });
    }
    await expectAlwaysSafe(await ggufSubject(paths[0]!, 800, readFileSync(paths[1]!).length), 0.5);
  });

  it('safetensors', async () => {
    const path = folder.at('small.safetensors');
    await writeSafetensors(path, { tensors: sources() });
    const read = async (numFileBytes: number) => readAll(await openSafetensors(path), numFileBytes);
    await expectAlwaysSafe({ path, original: readFileSync(path), headerBytes: 600, read });
  });

  it('safetensors index', async () => {
    const path = folder.at('sharded');
    await mkdir(path);
    const names = await writeShardedSafetensors(path, { tensors: sources(), maxShardBytes: 200 });
    const index = join(path, 'model.safetensors.index.json');
    const otherBytes = names.reduce((sum, name) => sum + readFileSync(join(path, name)).length, 0);
    const read = async (numFileBytes: number) => readAll(await openSafetensors(index), numFileBytes);
    await expectAlwaysSafe({ path: index, original: readFileSync(index), headerBytes: 1000, otherBytes, read }, 0.5);
  });

  it('config.json', async () => {
    const path = await folder.put(
      'config.json',
      '{"architectures":["LlamaForCausalLM"],"hidden_size":64,"rms_norm_eps":1e-5,"rope_scaling":{"factor":2.0},"eos_token_id":[1,2]}',
    );
    const read = async () => void (await readHfConfig(dirname(path)));
    await expectAlwaysSafe({ path, original: readFileSync(path), headerBytes: 200, read }, 0.5);
  });
});

describe.skipIf(!hasFixtures)(`a damaged real file${skipNote}`, () => {
  it.each<[string, string, number, number]>([
    ['stories260K.gguf', fixturePath('stories260k/stories260K.gguf'), 20_000, 0.3],
    ['ggml-vocab-llama-spm.gguf', fixturePath('vocab/ggml-vocab-llama-spm.gguf'), 800_000, 0.1],
    ['llama-gqa-Q4_K_M.gguf', fixturePath('quantized/llama-gqa-Q4_K_M.gguf'), 20_000, 0.2],
    ['story-draft-q8_0.gguf', sharedModelPath('story-draft-q8_0.gguf'), 80_000, 0.3],
  ])('%s', async (name, fixture, headerBytes, share) => {
    await expectAlwaysSafe(await ggufSubject(folder.at(name), headerBytes, 0, readFileSync(fixture)), share);
  });

  it('stories260K model.safetensors', async () => {
    const path = folder.at('stories.safetensors');
    const original = readFileSync(fixturePath('stories260k/hf/model.safetensors'));
    const read = async (numFileBytes: number) => readAll(await openSafetensors(path), numFileBytes);
    await expectAlwaysSafe({ path, original, headerBytes: 5000, read }, 0.3);
  });
});
