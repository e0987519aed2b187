/** Conversions keep a model what it was: the same logits from the new file. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { quantizeModel } from '../../../engine/convert/quantize-model.ts';
import { type GgufValue, gguf, openGguf, writeGguf } from '../../../formats/index.ts';
import { maxDifference, score, withModel } from '../../helpers/score.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';
import { BASE_CONFIG, BYTE_LEVEL, tokenizerJson, writeFolder } from './huggingface-folder.ts';

const folder = useTemporaryFolder();

const QKV_BIAS = ['qBias', 'kBias', 'vBias'];
const LLAMA3 = {
  rope_type: 'llama3',
  ...{ factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 16 },
};

describe('a Hugging Face folder gives the same logits as GGUF', () => {
  it.each([
    ['llama', { config: {}, optional: ['lmHead'] }],
    ['llama-tied', { config: { tie_word_embeddings: true } }],
    ['llama3-rope', { config: { rope_scaling: LLAMA3 }, optional: ['lmHead'] }],
    ['llama-biased', { config: { attention_bias: true }, optional: ['lmHead', ...QKV_BIAS, 'oBias'] }],
    ['yarn', { config: { rope_scaling: { rope_type: 'yarn', factor: 4 } }, optional: ['lmHead'] }],
    ['linear', { config: { rope_scaling: { type: 'linear', factor: 2 } }, optional: ['lmHead'] }],
    ['mistral', { config: { model_type: 'mistral', sliding_window: 5, head_dim: 16 }, optional: ['lmHead'] }],
    ['qwen2', { config: { model_type: 'qwen2', rope_theta: 1e6 }, optional: ['lmHead', ...QKV_BIAS] }],
  ])('%s', async (name, parts) => {
    const source = await writeFolder(folder.at(name), parts);
    const output = folder.at(`${name}.gguf`);
    const { notes } = await quantizeModel(source, output, { type: 'f32' });
    expect(notes).toEqual([]);
    const tokens = [318, 5, 100, 200, 7, 300, 9, 10, 11, 12, 13, 64, 15];
    const [expected, actual] = await Promise.all(
      [source, output].map((path) =>
        withModel(path, async (model) => {
          const { rows } = await score(model, tokens, 0);
          return { rows, ids: [...model.tokenizer.encode('the cat ate 12\n', { addSpecial: true })] };
        }),
      ),
    );
    expect(actual!.ids).toEqual(expected!.ids);
    for (const [i, row] of actual!.rows.entries()) expect(maxDifference(row, expected!.rows[i]!)).toBeLessThan(1e-4);
    // Logits of about 1 that are not all alike: a wrong order of rows would show.
    expect(Math.max(...actual!.rows.at(-1)!)).toBeGreaterThan(0.1);
  });

  it('fills up the vocabulary where the embedding has more rows than there are tokens', async () => {
    const source = await writeFolder(folder.at('padded'), { tokenizer: tokenizerJson(300), optional: ['lmHead'] });
    await quantizeModel(source, folder.at('padded.gguf'), { type: 'f16' });
    await using file = await openGguf(folder.at('padded.gguf'));
    const tokens = file.fields.strings('tokenizer.ggml.tokens');
    expect(tokens).toHaveLength(320);
    expect(tokens[319]).toBe('[PAD319]');
    expect(file.fields.numbers('tokenizer.ggml.token_type')[319]).toBe(5);
  });
});

describe('what GGUF has no place for', () => {
  const convert = async (name: string, parts: Parameters<typeof writeFolder>[1]): Promise<unknown> => {
    const source = await writeFolder(folder.at(name), { optional: ['lmHead'], ...parts });
    return quantizeModel(source, folder.at(`${name}.gguf`), { type: 'f16' });
  };
  const changed = (change: Record<string, unknown>): Record<string, unknown> => ({ ...tokenizerJson(), ...change });

  it.each([
    [
      'a pattern without a name',
      { pre_tokenizer: { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Isolated' } },
    ],
    ['lower-casing', { normalizer: { type: 'Lowercase' } }],
    ['a leading space', { pre_tokenizer: { ...BYTE_LEVEL, add_prefix_space: true } }],
    ['ignored merges with GPT-2 words', { model: { ...(tokenizerJson().model as object), ignore_merges: true } }],
    ['stripping added tokens', { added_tokens: [{ id: 5, content: '%', special: true, lstrip: true }] }],
  ])('%s is refused', async (name, change) => {
    await expect(convert(name.replaceAll(' ', '-'), { tokenizer: changed(change) })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    });
  });

  it('NFC is noted', async () => {
    const result = await convert('nfc', { tokenizer: changed({ normalizer: { type: 'NFC' } }) });
    expect(result).toMatchObject({ notes: [expect.stringContaining('NFC')] });
  });

  it('more tokens than embeddings are refused', async () => {
    await expect(convert('many', { tokenizer: tokenizerJson(321) })).rejects.toThrow(/321 tokens.*embeddings for 320/);
  });

  it('a missing tensor, a wrong shape and a tensor too many are refused', async () => {
    await expect(convert('headless', { optional: [] })).rejects.toThrow(/lm_head\.weight.*missing/);
    const source = await writeFolder(folder.at('reshaped'), { optional: ['lmHead'] });
    await writeFile(join(source, 'config.json'), JSON.stringify({ ...BASE_CONFIG, intermediate_size: 47 }));
    await expect(quantizeModel(source, folder.at('reshaped.gguf'), { type: 'f16' })).rejects.toThrow(/hyperparameters/);
    await writeFile(join(source, 'config.json'), JSON.stringify({ ...BASE_CONFIG, num_hidden_layers: 1 }));
    await expect(quantizeModel(source, folder.at('reshaped.gguf'), { type: 'f16' })).rejects.toThrow(
      /layers\.1.* not supported/,
    );
  });
});

describe('GGUF to GGUF', () => {
  it('joins a split model into one file', async () => {
    const values = (fill: number): Uint8Array => new Uint8Array(new Float32Array(64).fill(fill).buffer);
    for (const [index, fill] of [1, 2].entries()) {
      await writeGguf(folder.at(`split-0000${index + 1}-of-00002.gguf`), {
        metadata: new Map<string, GgufValue>([
          ['general.name', gguf.string('halves')],
          ['split.no', gguf.uint16(index)],
          ['split.count', gguf.uint16(2)],
          ['split.tensors.count', gguf.int32(2)],
        ]),
        tensors: [{ name: `blk.${index}.ffn_up.weight`, dtype: 'f32', shape: [2, 32], data: () => values(fill) }],
      });
    }
    const result = await quantizeModel(folder.at('split-00002-of-00002.gguf'), folder.at('whole.gguf'), {
      type: 'q8_0',
    });
    expect(result.tensorsByType).toEqual({ q8_0: 2 });
    await using file = await openGguf(folder.at('whole.gguf'));
    expect([...file.tensors.keys()]).toEqual(['blk.0.ffn_up.weight', 'blk.1.ffn_up.weight']);
    expect([...file.metadata.keys()].filter((key) => key.startsWith('split'))).toEqual([]);
  });

  it('refuses each shard of its input as output', async () => {
    const input = folder.at('split-00001-of-00002.gguf');
    const output = folder.at('split-00002-of-00002.gguf');
    const before = await readFile(output);
    await expect(quantizeModel(input, output, { type: 'q8_0' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await readFile(output)).toEqual(before);
  });
});
