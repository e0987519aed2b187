/** Real files, which nobody here wrote. */
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FloatDType } from '../../../engine/tensor/dtype.ts';
import { numElements } from '../../../engine/tensor/shape.ts';
import {
  dequantize,
  detectModel,
  openGguf,
  openSafetensors,
  quantize,
  readTensor,
  writeGguf,
} from '../../../formats/index.ts';
import type { StoredTensor, TensorFile } from '../../../formats/tensor-file.ts';
import { fixturePath, hasFixtures, readF32, sharedModelPath, skipNote } from '../../helpers/fixtures.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

function filesBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
}

const allFiles = hasFixtures ? [...filesBelow(fixturePath('')), ...filesBelow(sharedModelPath(''))] : [];
const ggufFiles = allFiles.filter((path) => path.endsWith('.gguf'));
const safetensorsFiles = allFiles.filter((path) => path.endsWith('.safetensors'));

async function values(file: TensorFile, tensor: StoredTensor): Promise<Float32Array> {
  return dequantize(tensor.dtype as FloatDType, await readTensor(file, tensor), numElements(tensor.shape));
}

/** The name a tensor of a Llama has in Hugging Face files. */
function hfName(ggufName: string): string {
  const parts: Readonly<Record<string, string>> = {
    attn_q: 'self_attn.q_proj',
    attn_k: 'self_attn.k_proj',
    attn_v: 'self_attn.v_proj',
    attn_output: 'self_attn.o_proj',
    ffn_gate: 'mlp.gate_proj',
    ffn_up: 'mlp.up_proj',
    ffn_down: 'mlp.down_proj',
    attn_norm: 'input_layernorm',
    ffn_norm: 'post_attention_layernorm',
  };
  if (ggufName === 'token_embd.weight') return 'model.embed_tokens.weight';
  if (ggufName === 'output_norm.weight') return 'model.norm.weight';
  const [, layer, part] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(ggufName)!;
  return `model.layers.${layer}.${parts[part!]}.weight`;
}

describe.skipIf(!hasFixtures)(`every fixture${skipNote}`, () => {
  it.each(ggufFiles.map((path) => [basename(path), path]))('%s opens and reads', async (_, path) => {
    expect((await detectModel(path)).kind).toBe('gguf');
    await using file = await openGguf(path);
    expect(file.version).toBe(3);
    expect(file.fields.strings('tokenizer.ggml.tokens').length).toBeGreaterThan(500);
    const numHeaderBytes = file.numBytesRead;
    const numDataBytes = [...file.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(numHeaderBytes).toBeLessThanOrEqual(Math.max(file.shards[0]!.byteLength - numDataBytes, 2 ** 18));
    for (const tensor of file.tensors.values()) {
      expect((await values(file, tensor)).every(Number.isFinite)).toBe(true);
    }
  });

  it.each(ggufFiles.map((path) => [basename(path), path]))(
    '%s copied is the same file, byte for byte',
    async (_, path) => {
      await using file = await openGguf(path);
      const tensors = [...file.tensors.values()].map(({ name, dtype, shape }) => {
        return { name, dtype, shape, data: () => readTensor(file, file.tensors.get(name)!) };
      });
      await writeGguf(folder.at('copy.gguf'), { metadata: file.metadata, tensors });
      expect((await readFile(folder.at('copy.gguf'))).equals(await readFile(path))).toBe(true);
    },
  );

  it.each(safetensorsFiles.map((path) => [basename(path), path]))('%s opens and reads', async (_, path) => {
    expect((await detectModel(path)).kind).toBe('safetensors');
    await using file = await openSafetensors(path);
    expect(Object.fromEntries(file.metadata)).toEqual({ format: 'pt' });
    expect(file.tensors.size).toBeGreaterThan(10);
    for (const tensor of file.tensors.values()) {
      expect((await values(file, tensor)).every(Number.isFinite)).toBe(true);
    }
  });

  it('vocabularies are read whole', async () => {
    const sizes = { 'llama-spm': 32_000, 'gpt-2': 50_257, 'llama-bpe': 128_256 };
    for (const [name, size] of Object.entries(sizes)) {
      await using file = await openGguf(fixturePath(`vocab/ggml-vocab-${name}.gguf`));
      expect(file.fields.strings('tokenizer.ggml.tokens').length).toBe(size);
      expect(file.fields.numbers('tokenizer.ggml.token_type').length).toBe(size);
    }
    await using file = await openGguf(fixturePath('vocab/ggml-vocab-llama-bpe.gguf'));
    expect(file.fields.strings('tokenizer.ggml.tokens')[128_000]).toBe('<|begin_of_text|>');
    expect(file.fields.strings('tokenizer.ggml.merges')[0]).toBe('Ġ Ġ');
  });
});

describe.skipIf(!hasFixtures)(`stories260K in its three forms${skipNote}`, () => {
  const folder = fixturePath('stories260k/hf');

  it('the sharded BF16 copy holds the values of the F32 one, rounded', async () => {
    expect((await detectModel(folder)).kind).toBe('hf-folder');
    await using full = await openSafetensors(folder);
    await using sharded = await openSafetensors(`${folder}/bf16-sharded`);
    expect(sharded.shards.length).toBe(2);
    expect([...sharded.tensors.keys()].toSorted()).toEqual([...full.tensors.keys()].toSorted());
    for (const tensor of full.tensors.values()) {
      const rounded = sharded.tensors.get(tensor.name)!;
      expect(rounded).toMatchObject({ dtype: 'bf16', shape: tensor.shape });
      expect(await readTensor(sharded, rounded)).toEqual(quantize('bf16', await values(full, tensor)));
    }
  });

  it('the GGUF file holds the values of the folder (queries and keys with their rows in another order)', async () => {
    await using gguf = await openGguf(fixturePath('stories260k/stories260K.gguf'));
    await using hf = await openSafetensors(folder);
    for (const tensor of gguf.tensors.values()) {
      if (tensor.name === 'output.weight') continue;
      const other = hf.tensors.get(hfName(tensor.name))!;
      expect(other.shape).toEqual(tensor.shape);
      const [a, b] = [await values(gguf, tensor), await values(hf, other)];
      const reordered = /attn_[qk]\./.test(tensor.name);
      expect(reordered ? a.toSorted() : a).toEqual(reordered ? b.toSorted() : b);
    }
  });

  it('the embedding is the one in the original llama2.c file, after its header of seven numbers', async () => {
    await using gguf = await openGguf(fixturePath('stories260k/stories260K.gguf'));
    const original = await readF32(fixturePath('stories260k/stories260K.bin'));
    expect(await values(gguf, gguf.tensors.get('token_embd.weight')!)).toEqual(original.subarray(7, 7 + 512 * 64));
  });
});
