import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileAccessError } from '../../../../engine/errors.ts';
import { readHfGenerationConfig } from '../../../../formats/hf/generation-config.ts';
import { readHfConfig } from '../../../../formats/hf/hf-config.ts';
import { readHfTokenizerConfig } from '../../../../formats/hf/tokenizer-config.ts';
import { readJsonFile } from '../../../../formats/json/read-json-file.ts';
import { hasFixtures, sharedModelPath, skipNote } from '../../../helpers/fixtures.ts';
import { formatError, rejection } from '../../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

/** A model folder with one file. */
async function holding(name: string, content: unknown): Promise<string> {
  const path = folder.at('model');
  await mkdir(path, { recursive: true });
  await writeFile(join(path, name), typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}
const config = async (content: unknown) => readHfConfig(await holding('config.json', content));

describe('config.json', () => {
  it('gives its fields in their types; null and absent are undefined', async () => {
    const read = await config({
      architectures: ['LlamaForCausalLM'],
      hidden_size: 2048,
      rms_norm_eps: 1e-5,
      rope_theta: 500000.0,
      rope_scaling: { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, rope_type: 'llama3' },
      sliding_window: null,
      tie_word_embeddings: true,
      eos_token_id: [128001, 128008],
      bos_token_id: 128000,
      something_new: { any: 'thing' },
    });
    expect(read).toMatchObject({
      architectures: ['LlamaForCausalLM'],
      hiddenSize: 2048,
      rmsNormEps: 1e-5,
      ropeTheta: 500000,
      ropeScaling: { ropeType: 'llama3', factor: 32, lowFreqFactor: 1, highFreqFactor: 4, betaFast: undefined },
      slidingWindow: undefined,
      vocabSize: undefined,
      tieWordEmbeddings: true,
      eosTokenIds: [128001, 128008],
      bosTokenIds: [128000],
    });
    expect(read.raw.something_new).toEqual({ any: 'thing' });
  });

  it('takes the older and the newer name of a field', async () => {
    expect((await config({ rope_scaling: { type: 'linear', factor: 2 } })).ropeScaling?.ropeType).toBe('linear');
    const newer = await config({ rope_parameters: { rope_type: 'default', rope_theta: 1e6 }, dtype: 'bfloat16' });
    expect(newer).toMatchObject({ ropeTheta: 1e6, torchDtype: 'bfloat16', ropeScaling: { ropeType: 'default' } });
  });

  it.each<[unknown, string, RegExp]>([
    [{ hidden_size: '64' }, 'hidden_size', /must be a whole number from 1 and below 2\^31, got "64"/],
    [{ hidden_size: 0 }, 'hidden_size', /must be a whole number from 1 and below 2\^31, got 0/],
    [{ hidden_size: 64.5 }, 'hidden_size', /must be a whole number/],
    [{ vocab_size: 1e300 }, 'vocab_size', /must be a whole number/],
    [{ rms_norm_eps: -1 }, 'rms_norm_eps', /from 0 to 1, got -1/],
    [{ rope_theta: 0 }, 'rope_theta', /must be a number above 0, got 0/],
    [{ rope_scaling: 'linear' }, 'rope_scaling', /must be an object, got "linear"/],
    [{ rope_scaling: { factor: [] } }, 'rope_scaling.factor', /must be a number above 0, got an array/],
    [{ architectures: 'Llama' }, 'architectures', /must be an array of strings/],
    [{ architectures: [1] }, 'architectures', /must be an array of strings/],
    [{ tie_word_embeddings: 1 }, 'tie_word_embeddings', /must be true or false, got 1/],
    [{ eos_token_id: -1 }, 'eos_token_id', /must be a token id/],
    [{ eos_token_id: [2, 'x'] }, 'eos_token_id', /must be a token id or an array of token ids/],
    [[], 'JSON', /must be an object/],
    ['{"hidden_size": 64', 'JSON', /expected '}'/],
  ])('refuses %j', async (content, field, message) => {
    const error = await formatError(config(content));
    expect(error.field).toBe(field);
    expect(error.message).toMatch(message);
    expect(error.file).toBe(join(folder.at('model'), 'config.json'));
  });

  it('says at which byte the bad value stands', async () => {
    const text = '{ "rope": 1, "größe": {"factor": 2}, "rope_scaling": { "x": [{"factor": 1}], "factor": -3 } }';
    const error = await formatError(config(text));
    expect(Buffer.from(text).subarray(error.byteOffset).toString()).toMatch(/^-3/);
  });

  it('must be there, and of a sensible size', async () => {
    expect(await rejection(readHfConfig(folder.at('none')))).toBeInstanceOf(FileAccessError);
    const path = join(await holding('config.json', `{}${' '.repeat(100)}`), 'config.json');
    expect((await formatError(readJsonFile(path, { maxBytes: 50 }))).message).toMatch(/has 102 bytes; at most 50/);
    expect(await readJsonFile(path, { maxBytes: 102 })).toEqual({});
  });
});

describe('generation_config.json', () => {
  it('gives what it suggests, or undefined when it is not there', async () => {
    expect(await readHfGenerationConfig(folder.at('none'))).toBeUndefined();
    const path = await holding('generation_config.json', { temperature: 0.6, top_p: 0.9, top_k: 40, eos_token_id: 2 });
    const expected = { temperature: 0.6, topP: 0.9, topK: 40, eosTokenIds: [2], doSample: undefined };
    expect(await readHfGenerationConfig(path)).toMatchObject(expected);
  });

  it('refuses a probability of 2', async () => {
    const path = await holding('generation_config.json', { top_p: 2 });
    expect((await formatError(readHfGenerationConfig(path))).message).toMatch(
      /top_p at byte 9: must be a number from 0/,
    );
  });
});

describe('tokenizer_config.json', () => {
  const read = async (content: unknown) => readHfTokenizerConfig(await holding('tokenizer_config.json', content));

  it('gives tokens as text, however they are written', async () => {
    const tokens = { bos_token: { content: '<s>', special: true }, eos_token: '</s>', pad_token: null };
    expect(await read({ ...tokens, model_max_length: 1e30 })).toMatchObject({
      bosToken: '<s>',
      eosToken: '</s>',
      padToken: undefined,
      modelMaxLength: 1e30,
      chatTemplates: new Map(),
    });
  });

  it('gives chat templates from each of their places', async () => {
    expect((await read({ chat_template: 'one' }))!.chatTemplates).toEqual(new Map([['default', 'one']]));
    const named = [
      { name: 'default', template: 'a' },
      { name: 'tool_use', template: 'b' },
    ];
    expect((await read({ chat_template: named }))!.chatTemplates.get('tool_use')).toBe('b');
    await holding('chat_template.jinja', 'from a file');
    expect((await read({}))!.chatTemplates).toEqual(new Map([['default', 'from a file']]));
  });

  it('refuses a template without a name, a token that is a number', async () => {
    expect((await formatError(read({ chat_template: [{ template: 'x' }] }))).message).toMatch(
      /must be a string or an array/,
    );
    expect((await formatError(read({ bos_token: 1 }))).message).toMatch(/bos_token at byte 13: must be a string/);
  });
});

describe.skipIf(!hasFixtures)(`the bundled model's folder${skipNote}`, () => {
  it('is read whole', async () => {
    const path = sharedModelPath('story-4m-hf');
    expect(await readHfConfig(path)).toMatchObject({
      modelType: 'llama',
      hiddenSize: 256,
      headDim: 32,
      vocabSize: 2048,
    });
    expect(await readHfGenerationConfig(path)).toMatchObject({ temperature: 0.8, topK: 40, maxLength: 512 });
    expect(await readHfTokenizerConfig(path)).toMatchObject({ bosToken: '<|endoftext|>', addBosToken: true });
  });
});
