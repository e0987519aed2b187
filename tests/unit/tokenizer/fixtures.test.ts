/** Against references nobody here wrote: llama.cpp's vocabulary tests, llama2.c's and PyTorch's golden ids. */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { fromGgufMetadata, fromTokenizerJson, type Tokenizer } from '../../../engine/tokenizer/index.ts';
import { type GgufFile, openGguf } from '../../../formats/gguf/open-gguf.ts';
import { fixturePath, hasFixtures, readJson, sharedModelPath, skipNote } from '../../helpers/fixtures.ts';

const opened: GgufFile[] = [];
afterAll(() => Promise.all(opened.map((file) => file.close())));

async function fromGguf(path: string): Promise<Tokenizer> {
  const file = await openGguf(path);
  opened.push(file);
  return fromGgufMetadata(file.metadata, path);
}

async function fromFolder(folder: string): Promise<Tokenizer> {
  const config = await readJson<{ bos_token: string; eos_token: string }>(`${folder}/tokenizer_config.json`);
  const names = { bosToken: config.bos_token, eosToken: config.eos_token };
  return fromTokenizerJson(await readJson(`${folder}/tokenizer.json`), names, folder);
}

/** Texts are parted by a marker line, ids are one line per text; llama.cpp's test encodes without BOS and without reading
 * special tokens (tests/test-tokenizer-0.cpp). */
function vocabularyCases(name: string): { text: string; ids: number[] }[] {
  const texts = readFileSync(fixturePath(`vocab/${name}.gguf.inp`), 'utf8').split('\n__ggml_vocab_test__\n');
  const lines = readFileSync(fixturePath(`vocab/${name}.gguf.out`), 'utf8').split('\n');
  return texts.map((text, i) => ({ text, ids: (lines[i] ?? '').split(' ').filter(Boolean).map(Number) }));
}

describe.skipIf(!hasFixtures)(`vocabulary fixtures${skipNote}`, () => {
  it.each(['ggml-vocab-llama-spm', 'ggml-vocab-gpt-2', 'ggml-vocab-llama-bpe'])('%s: 47 of 47', async (name) => {
    const tokenizer = await fromGguf(fixturePath(`vocab/${name}.gguf`));
    const cases = vocabularyCases(name);
    expect(cases).toHaveLength(47);
    for (const { text, ids } of cases) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids]);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });

  it('knows the special tokens of llama-bpe', async () => {
    const tokenizer = await fromGguf(fixturePath('vocab/ggml-vocab-llama-bpe.gguf'));
    expect(tokenizer).toMatchObject({
      vocabSize: 128_256,
      bosId: 128_000,
      eosId: 128_009,
      addBos: true,
      addEos: false,
    });
    expect([...tokenizer.endOfGenerationIds].sort()).toEqual([128_001, 128_008, 128_009]);
    const turn = '<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>';
    expect([...tokenizer.encode(turn, { addSpecial: true, parseSpecial: true })]).toEqual([
      128_000, 128_006, 882, 128_007, 271, 13_347, 128_009,
    ]);
    expect([...tokenizer.encode(turn)].every((id) => id < 128_000)).toBe(true);
  });
});

describe.skipIf(!hasFixtures)(`golden prompts${skipNote}`, () => {
  it('stories260K: the ids and texts of llama2.c', async () => {
    const { cases } = await readJson<{
      cases: { prompt: string; prompt_ids: number[]; gen_ids: number[]; text: string }[];
    }>(fixturePath('stories260k/golden.json'));
    for (const tokenizer of [
      await fromGguf(fixturePath('stories260k/stories260K.gguf')),
      await fromFolder(fixturePath('stories260k/hf')),
    ]) {
      for (const { prompt, prompt_ids, gen_ids, text } of cases) {
        expect([...tokenizer.encode(prompt, { addSpecial: true })]).toEqual(prompt_ids);
        expect(tokenizer.decode([...prompt_ids, ...gen_ids], { skipSpecial: true })).toBe(text);
        const generated = tokenizer.decode(gen_ids, { continuation: prompt !== '', skipSpecial: true });
        expect(prompt + generated).toBe(text);
      }
    }
  });

  it('story-4m: the ids and texts of PyTorch and Hugging Face', async () => {
    const { prompts } = await readJson<{
      prompts: { prompt: string; prompt_ids: number[]; greedy_ids: number[]; greedy_text: string }[];
    }>(sharedModelPath('story-4m-golden.json'));
    for (const tokenizer of [
      await fromGguf(sharedModelPath('story-4m-q8_0.gguf')),
      await fromFolder(sharedModelPath('story-4m-hf')),
    ]) {
      for (const { prompt, prompt_ids, greedy_ids, greedy_text } of prompts) {
        expect([...tokenizer.encode(prompt, { addSpecial: true })]).toEqual(prompt_ids);
        expect(tokenizer.decode(greedy_ids, { continuation: true })).toBe(greedy_text);
      }
    }
  });
});

describe.skipIf(!hasFixtures)(`GGUF and tokenizer.json of one model agree${skipNote}`, () => {
  it.each([
    ['stories260K', fixturePath('stories260k/stories260K.gguf'), fixturePath('stories260k/hf')],
    ['story-4m', sharedModelPath('story-4m-q8_0.gguf'), sharedModelPath('story-4m-hf')],
  ])('%s', async (_, ggufPath, folder) => {
    const gguf = await fromGguf(ggufPath);
    const json = await fromFolder(folder);
    for (const field of [
      'vocabSize',
      'bosId',
      'eosId',
      'addBos',
      'addEos',
      'endOfGenerationIds',
      'specialTokens',
    ] as const) {
      expect([field, gguf[field]]).toEqual([field, json[field]]);
    }
    const story = readFileSync(fixturePath('text/story-valid.txt'), 'utf8');
    const texts = [story, ...vocabularyCases('ggml-vocab-gpt-2').map(({ text }) => text), ...randomTexts(story)];
    for (const text of texts) {
      for (const parseSpecial of [false, true]) {
        const [a, b] = [gguf, json].map((tokenizer) => tokenizer.encode(text, { addSpecial: true, parseSpecial }));
        expect(Buffer.compare(Buffer.from(a!.buffer), Buffer.from(b!.buffer)), text.slice(0, 80)).toBe(0);
      }
      expect(gguf.decode(gguf.encode(text)) === text).toBe(true);
    }
  });
});

/** Stretches of the story with their characters shuffled or repeated: words that no training text had. */
function randomTexts(story: string): string[] {
  let state = 12_345;
  const next = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  return Array.from({ length: 500 }, () => {
    const start = next(story.length - 60);
    const chars = [...story.slice(start, start + 1 + next(60)), '<s>', '🦙', '  ', '\n'];
    return Array.from({ length: next(60) }, () => chars[next(chars.length)]!.repeat(1 + next(3))).join('');
  });
}
