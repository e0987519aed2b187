/** `quern inspect` on good files, strange files and hostile files. */
import { describe, expect, it } from 'vitest';
import { type GgufValue, gguf, writeGguf, writeSafetensors } from '../../formats/index.ts';
import { fixturePath, hasFixtures, skipNote } from '../helpers/fixtures.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

interface Report {
  readonly format: string;
  readonly files: { path: string; numBytes: number }[];
  readonly hyperparameters: { numLayers?: number; headDim?: number; unavailable?: string };
  readonly tokenizer: { vocabSize?: number; unavailable?: string };
  readonly metadata?: { key: string; type: string; value: unknown; length?: number }[];
  readonly tensors?: { name: string; type: string; shape: number[]; numBytes: number }[];
  readonly types: { type: string; numTensors: number; numParameters: number; numBytes: number }[];
  readonly numTensors: number;
  readonly numParameters: number;
  readonly memory: { weights: number; kvCache: number; scratch: number; total: number; contextLength: number } | null;
}

async function inspectJson(...args: string[]): Promise<Report> {
  const { code, stdout, stderr } = await runCli(['inspect', ...args, '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Report;
}

describe.concurrent('quern inspect', () => {
  it('tells the bundled model by heart', async () => {
    const report = await inspectJson();
    // models/README.md: 4,459,264 parameters, hidden 256, 5 layers.
    expect(report).toMatchObject({ format: 'GGUF v3', numParameters: 4_459_264, numTensors: 47 });
    expect(report.hyperparameters).toMatchObject({ numLayers: 5, headDim: 32 });
    expect(report.tokenizer).toMatchObject({ vocabSize: 2048, addBos: true, bos: { id: 0, text: '<|endoftext|>' } });
    expect(report.types.map(({ type, numTensors }) => [type, numTensors])).toEqual([
      ['q8_0', 36],
      ['f32', 11],
    ]);
    expect(report.types.reduce((sum, { numParameters }) => sum + numParameters, 0)).toBe(4_459_264);
    const tokens = report.metadata!.find(({ key }) => key === 'tokenizer.ggml.tokens')!;
    expect(tokens).toMatchObject({ type: 'array of string', length: 2048 });
    expect(tokens.value).toHaveLength(8);
    expect(report.tensors![0]).toMatchObject({ name: 'token_embd.weight', type: 'q8_0', shape: [2048, 256] });
  });

  it('shows the same to a person, in sections that can be left out', async () => {
    const all = await runCli(['inspect']);
    expect(all.stdout).toMatch(/parameters +4,459,264 in 47 tensors/);
    expect(all.stdout).toMatch(/llama\.block_count +uint32 +5\n/);
    expect(all.stdout).toMatch(/blk\.0\.attn_q\.weight +q8_0 +\[256, 256] +69,632/);
    expect(all.stdout).toMatch(/q8_0 +36 +4,456,448 .* 8\.50\n/);
    const short = await runCli(['inspect', '--no-metadata', '--no-tensors']);
    expect(short.stdout).not.toMatch(/block_count|blk\./);
    expect(short.stdout).toMatch(/BOS +0 "<\|endoftext\|>", added/);
  });

  it('estimates memory for a context and a type of cache', async () => {
    const f32 = (await inspectJson('--context-length', '256')).memory!;
    const q8 = (await inspectJson('-c', '256', '--kv-dtype', 'q8_0')).memory!;
    // 16 blocks of 16 tokens and the null block, keys and values, 5 layers, 4 heads of 32.
    expect(f32.kvCache).toBe(17 * 16 * 2 * 5 * 4 * 32 * 4);
    expect(q8.kvCache).toBe(17 * 16 * 2 * 5 * 4 * 34);
    expect(f32.total).toBe(f32.weights + f32.kvCache + f32.scratch);
  });

  it('is of use for an architecture that Quern does not know', async () => {
    const path = folder.at('strange.gguf');
    await writeGguf(path, {
      metadata: new Map<string, GgufValue>([
        ['general.architecture', gguf.string('perceptron')],
        ['perceptron.big', gguf.uint64(2n ** 60n)],
        ['perceptron.nan', gguf.float32(Number.NaN)],
        ['perceptron.empty', gguf.strings([])],
        ['perceptron.text', gguf.string('x'.repeat(5000))],
      ]),
      tensors: [{ name: 'w', dtype: 'iq2_xs', shape: [2, 256], data: () => new Uint8Array(148) }],
    });
    const report = await inspectJson(path);
    expect(report.hyperparameters.unavailable).toContain("architecture 'perceptron'");
    expect(report.tokenizer.unavailable).toContain('tokenizer.ggml.model');
    expect(report.memory).toBeNull();
    expect(report.numParameters).toBe(512);
    expect(report.types).toEqual([{ type: 'iq2_xs', numTensors: 1, numParameters: 512, numBytes: 148 }]);
    expect(report.metadata!.map(({ value }) => value).slice(1, 4)).toEqual([String(2n ** 60n), 'NaN', []]);
    expect(report.metadata![4]).toMatchObject({ length: 5000, value: 'x'.repeat(200) });
    const full = await inspectJson(path, '--full');
    expect(full.metadata![4]!.value).toBe('x'.repeat(5000));
    expect((await runCli(['inspect', path])).stdout).toMatch(/Hyperparameters\n +not known: architecture 'perceptron'/);
  });

  it('shows safetensors without a config', async () => {
    const path = folder.at('alone.safetensors');
    const bytes = new Uint8Array(8);
    await writeSafetensors(path, { tensors: [{ name: 'w', dtype: 'bf16', shape: [2, 2], data: () => bytes }] });
    const report = await inspectJson(path);
    expect(report).toMatchObject({ format: 'safetensors', numParameters: 4, memory: null });
  });

  it('lets nothing in a file steer a terminal, and loses nothing in JSON', async () => {
    const evil = '\u001b[2J\u009b31m\u202e\u0007\r\nend\u2028\u{e0041}';
    const path = folder.at('evil.gguf');
    await writeGguf(path, {
      metadata: new Map<string, GgufValue>([
        ['general.architecture', gguf.string(evil)],
        [`key ${evil}`, gguf.string(evil)],
        ['list', gguf.strings([evil])],
      ]),
      tensors: [{ name: `tensor ${evil}`, dtype: 'f32', shape: [1], data: () => new Uint8Array(4) }],
    });
    const text = await runCli(['inspect', path]);
    expect(text.stdout).toContain('end');
    const json = await runCli(['inspect', path, '--json']);
    for (const { stdout } of [text, json]) expect(stdout).not.toMatch(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}]/u);
    const report = JSON.parse(json.stdout) as Report;
    expect(report.metadata!.map(({ value }) => value)).toEqual([evil, evil, [evil]]);
    expect(report.tensors![0]!.name).toBe(`tensor ${evil}`);
    // Errors quote the file, too.
    const error = await runCli(['logits', '--model', path, '--tokens', '1']);
    expect(error.code).toBe(3);
    expect(error.stderr).not.toMatch(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}]/u);
  });

  it.each([
    [['/nowhere.gguf'], 3],
    [['package.json'], 3],
    [['one', '--model', 'two'], 2],
    [['--context-length', '513'], 2],
    [['--help'], 0],
  ])('%j ends with code %i', async (args, expected) => {
    const { code, stdout, stderr } = await runCli(['inspect', ...args]);
    expect(code).toBe(expected);
    if (expected === 0) expect(stdout).toContain('Example:');
    else expect(stderr).not.toContain('    at ');
  });
});

describe.skipIf(!hasFixtures)(`quern inspect on reference files${skipNote}`, () => {
  it('reads a vocabulary without a model', async () => {
    const report = await inspectJson(fixturePath('vocab/ggml-vocab-llama-spm.gguf'));
    expect(report).toMatchObject({ numTensors: 0, memory: null, types: [] });
    expect(report.tokenizer).toMatchObject({ vocabSize: 32000, tokensByType: { byte: 256 } });
  });

  it('reads a sharded folder, with the tokenizer of the folder above', async () => {
    const report = await inspectJson(fixturePath('stories260k/hf/bf16-sharded'));
    expect(report).toMatchObject({ format: 'Hugging Face folder', numParameters: 260_032 });
    expect(report.files).toHaveLength(2);
    expect(report.tokenizer).toMatchObject({ vocabSize: 512 });
    expect(report.metadata!.find(({ key }) => key === 'hidden_size')).toMatchObject({ type: 'number', value: 64 });
  });
});
