/** `quern quantize` against files that llama.cpp quantized, and as a user may misuse it. */
import { existsSync } from 'node:fs';
import { copyFile, readdir, readFile, symlink } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { type GgufFile, gguf, openGguf, readTensor, writeGguf } from '../../formats/index.ts';
import { fixturePath, hasFixtures, readJson, sharedModelPath, skipNote } from '../helpers/fixtures.ts';
import { type CliResult, runCli } from '../helpers/run-cli.ts';
import { score, withModel } from '../helpers/score.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

async function quantize(input: string, name: string, type: string, ...flags: string[]): Promise<string> {
  const path = folder.at(name);
  const { code, stderr } = await runCli(['quantize', input, path, '--type', type, ...flags]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('tensors:') });
  return path;
}

/** Names of tensors whose type, shape or bytes differ. */
async function differingTensors(a: GgufFile, b: GgufFile): Promise<string[]> {
  const differing = [...b.tensors.keys()].filter((name) => !a.tensors.has(name));
  for (const [name, tensor] of a.tensors) {
    const other = b.tensors.get(name);
    const isSame =
      other?.dtype === tensor.dtype &&
      other.shape.join() === tensor.shape.join() &&
      Buffer.compare(await readTensor(a, tensor), await readTensor(b, other)) === 0;
    if (!isSame) differing.push(name);
  }
  return differing;
}

describe.skipIf(!hasFixtures).concurrent(`the same bytes that llama.cpp makes${skipNote}`, () => {
  // quantized/ was made by llama-quantize from synth/llama-gqa.gguf: which tensors get which type, and every byte of them.
  it.each(['Q4_0', 'Q8_0', 'Q4_K_M', 'F16'])('%s', async (type) => {
    const path = await quantize(fixturePath('synth/llama-gqa.gguf'), `llama-gqa-${type}.gguf`, type);
    await using made = await openGguf(path);
    await using expected = await openGguf(fixturePath(`quantized/llama-gqa-${type}.gguf`));
    expect(await differingTensors(made, expected)).toEqual([]);
    expect(new Map([...made.metadata].toSorted())).toEqual(new Map([...expected.metadata].toSorted()));
  });

  it('the bundled model from its F16 file, and from its Hugging Face folder', async () => {
    await using bundled = await openGguf(bundledModelPath());
    await using fromFile = await openGguf(await quantize(sharedModelPath('story-4m-f16.gguf'), 'story.gguf', 'q8_0'));
    expect(await differingTensors(fromFile, bundled)).toEqual([]);
    expect(fromFile.metadata).toEqual(bundled.metadata);
    await using fromFolder = await openGguf(await quantize(sharedModelPath('story-4m-hf'), 'story-hf.gguf', 'q8_0'));
    expect(await differingTensors(fromFolder, bundled)).toEqual([]);
    for (const key of [
      'tokens',
      'merges',
      'token_type',
      'model',
      'pre',
      'bos_token_id',
      'eos_token_id',
      'add_bos_token',
    ]) {
      const name = `tokenizer.ggml.${key}`;
      expect(fromFolder.metadata.get(name), name).toEqual(bundled.metadata.get(name));
    }
  });
});

interface Golden {
  readonly cases: readonly { readonly prompt: string; readonly prompt_ids: number[]; readonly gen_ids: number[] }[];
}

describe.skipIf(!hasFixtures)(`Hugging Face to GGUF${skipNote}`, () => {
  it.each(['stories260k/hf', 'stories260k/hf/bf16-sharded'])('%s keeps its ids and its story', async (source) => {
    const path = await quantize(fixturePath(source), `${source.replaceAll('/', '-')}.gguf`, 'f32');
    const { cases } = await readJson<Golden>(fixturePath('stories260k/golden.json'));
    await withModel(path, async (model) => {
      for (const { prompt, prompt_ids, gen_ids } of cases) {
        expect([...model.tokenizer.encode(prompt, { addSpecial: true })]).toEqual(prompt_ids);
        // The goldens are of the f32 weights; bf16 has its own rounding, so only the f32 folder must tell the same story.
        if (source.endsWith('hf')) expect((await score(model, prompt_ids, 24)).generated).toEqual(gen_ids.slice(0, 24));
      }
    });
  });
});

describe.concurrent('quern quantize', () => {
  it('any type from any type, and back to one that runs', async () => {
    const q4 = await quantize(bundledModelPath('draft'), 'draft-q4.gguf', 'q4_1');
    const f32 = await quantize(q4, 'draft-f32.gguf', 'f32', '--pure');
    await using file = await openGguf(f32);
    expect(new Set([...file.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['f32']));
    const logits = await runCli([
      'logits',
      '--model',
      f32,
      '--tokens',
      '0,1',
      '--generate',
      '1',
      '--backend',
      'reference',
    ]);
    expect(logits.code).toBe(0);
  });

  it('keeps keys and tensors that it does not know', async () => {
    const input = folder.at('unknown-in.gguf');
    const kept = Uint8Array.from({ length: 74 }, (_, i) => i);
    await writeGguf(input, {
      metadata: new Map([
        ['general.architecture', gguf.string('perceptron')],
        ['perceptron.list', gguf.int32s([1, -2])],
        ['general.alignment', gguf.uint32(64)],
        ['split.count', gguf.uint16(1)],
      ]),
      tensors: [
        { name: 'odd_norm.weight', dtype: 'iq2_xs', shape: [1, 256], data: () => kept },
        { name: 'ids', dtype: 'i32', shape: [2, 2], data: () => new Uint8Array(16).fill(7) },
        { name: 'layer.weight', dtype: 'f32', shape: [2, 32], data: () => new Uint8Array(256) },
      ],
    });
    await using made = await openGguf(await quantize(input, 'unknown-out.gguf', 'q8_0'));
    expect([...made.tensors.values()].map(({ name, dtype }) => [name, dtype])).toEqual([
      ['odd_norm.weight', 'iq2_xs'],
      ['ids', 'i32'],
      ['layer.weight', 'q8_0'],
    ]);
    expect(await readTensor(made, made.tensors.get('odd_norm.weight')!)).toEqual(kept);
    expect(made.alignment).toBe(64);
    expect(made.metadata.get('perceptron.list')).toEqual(gguf.int32s([1, -2]));
    expect(made.fields.uint('general.file_type')).toBe(7);
    expect(made.metadata.has('split.count')).toBe(false);
  });

  it('names the tensor and the element that cannot be quantized, and leaves no file', async () => {
    const input = folder.at('nan-in.gguf');
    const values = new Float32Array(64);
    values[37] = Number.NaN;
    await writeGguf(input, {
      metadata: new Map([['general.architecture', gguf.string('llama')]]),
      tensors: [
        { name: 'blk.0.attn_q.weight', dtype: 'f32', shape: [2, 32], data: () => new Uint8Array(values.buffer) },
      ],
    });
    const out = folder.at('nan-out.gguf');
    const { code, stderr } = await runCli(['quantize', input, out, '--type', 'q4_0']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/nan-in\.gguf: blk\.0\.attn_q\.weight at byte \d+: element 37 is NaN/);
    expect((await readdir(folder.at('.'))).filter((name) => name.startsWith('nan-out'))).toEqual([]);
  });

  it('refuses to write over its input, by whatever name, and over anything without --force', async () => {
    const input = folder.at('same.gguf');
    await copyFile(bundledModelPath('draft'), input);
    await symlink(input, folder.at('link.gguf'));
    const attempt = (out: string, ...flags: string[]): Promise<CliResult> =>
      runCli(['quantize', input, out, '--type', 'q4_0', ...flags]);
    expect(await attempt(input)).toMatchObject({ code: 2, stderr: expect.stringContaining('--force') });
    for (const out of [input, folder.at('link.gguf'), folder.at('./same.gguf')]) {
      expect(await attempt(out, '--force')).toMatchObject({ code: 2, stderr: expect.stringContaining('is the input') });
    }
    expect((await readFile(input)).equals(await readFile(bundledModelPath('draft')))).toBe(true);
    expect((await attempt(folder.at('other.gguf'), '--json')).stdout).toMatch(/"tensorsByType":\{.*"q4_0":/);
  });

  it.each([
    [['bundled', 'OUT'], 2],
    [['bundled', 'OUT', '--type', 'iq4_xs'], 2],
    [['/nowhere.gguf', 'OUT', '--type', 'q8_0'], 3],
    [['package.json', 'OUT', '--type', 'q8_0'], 3],
    [['--help'], 0],
  ])('%j ends with code %i', async (words, expected) => {
    const out = folder.at('never.gguf');
    const names: Readonly<Record<string, string>> = { OUT: out, bundled: bundledModelPath('draft') };
    const { code, stdout, stderr } = await runCli(['quantize', ...words.map((word) => names[word] ?? word)]);
    expect(code).toBe(expected);
    expect(existsSync(out)).toBe(false);
    if (expected === 0) expect(stdout).toContain('Example:');
    else expect(stderr).not.toContain('    at ');
  });
});
