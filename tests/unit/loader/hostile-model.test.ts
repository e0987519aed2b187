/** A model file that opens may still lie about what is in it. Loading ends in a typed error, or in a model that computes:
 * never in another exception, a hang, or memory that grows with what the file merely claims. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { bundledModelPath } from '../../../engine/bundled-model.ts';
import { FormatError, QuernError } from '../../../engine/errors.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { loadModel } from '../../../engine/loader/load-model.ts';
import { scoreTokens } from '../../../engine/runner/single-sequence.ts';
import { type GgufValue, gguf } from '../../../formats/gguf/gguf-value.ts';
import { openGguf } from '../../../formats/gguf/open-gguf.ts';
import { writeGguf } from '../../../formats/gguf/write-gguf.ts';
import { readTensor } from '../../../formats/tensor-file.ts';
import { fixturePath, hasFixtures, skipNote } from '../../helpers/fixtures.ts';
import { type Mutation, mutations } from '../../helpers/mutations.ts';
import { rejection } from '../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const MODEL = bundledModelPath('draft');

vi.setConfig({ testTimeout: 60_000 * Math.max(1, Number(process.env.QUERN_RUNS ?? '1')) });

/** Loads, and computes two tokens if it does. Returns the error, if there was one, and the largest memory in use. */
async function tryModel(path: string): Promise<{ error: unknown; maxBytes: number }> {
  const backend = new ReferenceBackend();
  let maxBytes = 0;
  const note = () => {
    const { weights, kv, scratch } = backend.memoryUsage();
    maxBytes = Math.max(maxBytes, weights + kv + scratch);
  };
  try {
    const model = await loadModel(path, backend, { onProgress: note });
    note();
    for await (const { rows } of scoreTokens(model, { tokens: [0, 1], generate: 1, kvDtype: 'f32' })) {
      note();
      expect(rows.length % model.config.vocabSize).toBe(0);
    }
    return { error: undefined, maxBytes };
  } catch (error) {
    return { error, maxBytes };
  } finally {
    await backend.close();
  }
}

/** What a sound tiny model may take for activations and logits of one chunk of tokens, besides its weights. */
const SCRATCH_BYTES = 8_000_000;

async function expectSafe(path: string, numFileBytes: number): Promise<unknown> {
  const start = performance.now();
  const { error, maxBytes } = await tryModel(path);
  if (error !== undefined && !QuernError.isInstance(error)) throw error;
  expect(maxBytes).toBeLessThan(4 * numFileBytes + SCRATCH_BYTES);
  expect(performance.now() - start).toBeLessThan(20_000);
  return error;
}

describe('a damaged GGUF model', () => {
  const original = readFileSync(MODEL);
  // Metadata and tensor list end where the weights begin: 57 kB into this file.
  const headerBytes = 60_000;

  it('loads and computes, or says what is wrong', async () => {
    let numLoaded = 0;
    let numRefused = 0;
    await fc.assert(
      fc.asyncProperty(mutations(headerBytes), async (steps: readonly Mutation[]) => {
        let bytes: Buffer = Buffer.from(original);
        for (const step of steps) bytes = step(bytes);
        const path = folder.at('damaged.gguf');
        writeFileSync(path, bytes);
        if ((await expectSafe(path, bytes.length)) === undefined) numLoaded++;
        else numRefused++;
      }),
    );
    // The test means something only if both happen.
    expect(numLoaded).toBeGreaterThan(0);
    expect(numRefused).toBeGreaterThan(0);
  });
});

describe.skipIf(!hasFixtures)(`a damaged Hugging Face model${skipNote}`, () => {
  it.each(['config.json', 'tokenizer.json', 'model.safetensors'])(
    '%s: loads and computes, or says what is wrong',
    async (name) => {
      await mkdir(folder.at('hf'), { recursive: true });
      await cp(fixturePath('stories260k/hf'), folder.at('hf'), { recursive: true, mode: 0 });
      const original = await readFile(fixturePath(`stories260k/hf/${name}`));
      await fc.assert(
        fc.asyncProperty(mutations(4000), async (steps: readonly Mutation[]) => {
          let bytes: Buffer = Buffer.from(original);
          for (const step of steps) bytes = step(bytes);
          await writeFile(folder.at(`hf/${name}`), bytes);
          await expectSafe(folder.at('hf'), 1_100_000);
        }),
      );
    },
  );
});

describe('a model that says what is not so', () => {
  /** The draft model with other metadata or tensors. */
  async function altered(change: {
    readonly metadata?: (metadata: Map<string, GgufValue>) => void;
    readonly tensors?: (tensor: {
      name: string;
      dtype: string;
      shape: readonly number[];
      data: Uint8Array;
    }) => object | undefined;
  }): Promise<unknown> {
    await using source = await openGguf(MODEL);
    const metadata = new Map(source.metadata);
    change.metadata?.(metadata);
    const tensors = [];
    for (const stored of source.tensors.values()) {
      const tensor = {
        name: stored.name,
        dtype: stored.dtype,
        shape: stored.shape,
        data: await readTensor(source, stored),
      };
      const changed = change.tensors === undefined ? tensor : change.tensors(tensor);
      if (changed === undefined) continue;
      const { data, ...rest } = changed as typeof tensor;
      tensors.push({ ...rest, data: () => data });
    }
    const path = folder.at('altered.gguf');
    await writeGguf(path, { metadata, tensors });
    return expectSafe(path, 440_000);
  }
  const set = (key: string, value: GgufValue) => ({
    metadata: (map: Map<string, GgufValue>) => void map.set(key, value),
  });

  it('unaltered, it loads: the alterations are what the other cases test', async () => {
    expect(await altered({})).toBeUndefined();
  });

  const absurd: [string, GgufValue][] = [
    ['llama.block_count', gguf.uint32(4_000_000_000)],
    ['llama.block_count', gguf.uint32(4)],
    ['llama.block_count', gguf.uint32(0)],
    ['llama.embedding_length', gguf.uint32(2 ** 31)],
    ['llama.embedding_length', gguf.uint32(63)],
    ['llama.feed_forward_length', gguf.uint64(2n ** 60n)],
    ['llama.attention.head_count', gguf.uint32(0)],
    ['llama.attention.head_count', gguf.uint32(3)],
    ['llama.attention.head_count', gguf.string('two')],
    ['llama.attention.head_count_kv', gguf.uint32(7)],
    ['llama.attention.head_count_kv', gguf.uint32s([])],
    ['llama.attention.layer_norm_rms_epsilon', gguf.float32(Number.NaN)],
    ['llama.attention.layer_norm_rms_epsilon', gguf.float32(-1)],
    ['llama.rope.freq_base', gguf.float32(0)],
    ['llama.rope.freq_base', gguf.float32(Number.POSITIVE_INFINITY)],
    ['llama.rope.dimension_count', gguf.uint32(33)],
    ['llama.rope.dimension_count', gguf.uint32(2 ** 30)],
    ['llama.context_length', gguf.uint32(0)],
    ['llama.vocab_size', gguf.uint32(2 ** 24 + 1)],
    ['llama.rope.scaling.factor', gguf.float32(-2)],
  ];
  it.each(absurd)('%s = %o is a FormatError that names the key or the tensor', async (key, value) => {
    const change = set(key, value);
    const error = await altered(
      key.includes('scaling')
        ? {
            metadata: (map) => {
              change.metadata(map);
              map.set('llama.rope.scaling.type', gguf.string('linear'));
            },
          }
        : change,
    );
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).field).toMatch(/^(llama\.|blk\.|token_embd|output_norm|ropeScaling)/);
  });

  it('a huge context length alone costs nothing: memory follows what is asked for, not what is claimed', async () => {
    expect(await altered(set('llama.context_length', gguf.uint32(2 ** 31 - 1)))).toBeUndefined();
  });

  it.each([
    ['general.architecture', gguf.string('bert'), 'known are llama'],
    ['llama.expert_count', gguf.uint32(8), 'mixture of experts'],
    ['llama.rope.scaling.type', gguf.string('dynamic'), "rope scaling 'dynamic'"],
    ['llama.attention.value_length', gguf.uint32(16), 'value heads of 16'],
  ])('%s = %o is not supported, and the message says so', async (key, value, message) => {
    const error = await altered(set(key, value));
    expect(error).toMatchObject({ code: 'UNSUPPORTED' });
    expect((error as Error).message).toContain(message);
  });

  it('a missing tensor is named', async () => {
    const error = await altered({ tensors: (tensor) => (tensor.name === 'blk.1.ffn_up.weight' ? undefined : tensor) });
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).field).toBe('blk.1.ffn_up.weight');
  });

  it('a tensor of another shape is named with both shapes', async () => {
    const swap = (shape: readonly number[]) => shape.toReversed();
    const error = await altered({
      tensors: (tensor) => (tensor.name === 'blk.0.ffn_up.weight' ? { ...tensor, shape: swap(tensor.shape) } : tensor),
    });
    expect((error as Error).message).toMatch(/blk\.0\.ffn_up\.weight .*shape \[64, 320\] .* \[320, 64\]/);
  });

  it('a tensor that nobody uses is refused: leaving it out would give wrong answers', async () => {
    const error = await altered({
      tensors: (tensor) => (tensor.name === 'output_norm.weight' ? { ...tensor, name: 'output_norm.bias' } : tensor),
    });
    expect(QuernError.isInstance(error)).toBe(true);
  });

  it('weights that are not numbers load, and no token can be chosen', async () => {
    const error = await altered({
      tensors: (tensor) =>
        tensor.name === 'output_norm.weight'
          ? { ...tensor, data: new Uint8Array(tensor.data.length).fill(0xff) }
          : tensor,
    });
    expect(error).toMatchObject({ code: 'NON_FINITE_LOGITS' });
  });
});

describe('a path that is no model', () => {
  it.each([
    ['missing', 'no-such-file.gguf', 'FILE_ACCESS', /no such file/],
    ['a folder without a model', '.', 'FORMAT', /a model folder holds config\.json/],
  ])('%s', async (_what, name, code, message) => {
    const error = await rejection(loadModel(folder.at(name), new ReferenceBackend()));
    expect(error).toMatchObject({ code });
    expect((error as Error).message).toMatch(message);
  });

  it('a safetensors file alone says that its folder is wanted', async () => {
    const header = Buffer.from('{}');
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const path = await folder.put('lonely.safetensors', Buffer.concat([length, header]));
    expect(await rejection(loadModel(path, new ReferenceBackend()))).toMatchObject({ code: 'UNSUPPORTED' });
  });
});
