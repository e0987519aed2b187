/** `quern synth`: files that Quern can run, the same for the same seed. */
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { openGguf } from '../../formats/index.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

async function synth(name: string, ...args: string[]): Promise<string> {
  const path = folder.at(name);
  const { code, stderr } = await runCli(['synth', path, ...args]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('parameters') });
  return path;
}

describe.concurrent('quern synth', () => {
  it.each(['f32', 'q4_k_m'])('tiny in %s runs: finite logits, not all the same, the same each time', async (type) => {
    const path = await synth(`runs-${type}.gguf`, '--type', type);
    const out = `${path}.logits`;
    const args = ['logits', '--model', path, '--tokens', '1022,5,100', '--backend', 'reference', '--generate', '3'];
    const first = await runCli([...args, '--out', out, '--json']);
    expect(first.code).toBe(0);
    const bytes = await readFile(out);
    const logits = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    expect(logits).toHaveLength(6 * 1024);
    const mean = logits.reduce((sum, x) => sum + x, 0) / logits.length;
    const variance = logits.reduce((sum, x) => sum + (x - mean) ** 2, 0) / logits.length;
    expect(variance).toBeGreaterThan(0.5);
    expect(variance).toBeLessThan(2);
    const { tokens } = JSON.parse(first.stdout) as { tokens: number[] };
    expect(tokens).toHaveLength(3);
  });

  it('gives the same bytes for the same seed, others for another', async () => {
    const [a, b, c] = await Promise.all([
      synth('a.gguf', '--seed', '7').then((path) => readFile(path)),
      synth('b.gguf', '--seed', '7').then((path) => readFile(path)),
      synth('c.gguf', '--seed', '8').then((path) => readFile(path)),
    ]);
    expect(a.equals(b)).toBe(true);
    expect(a.equals(c)).toBe(false);
  });

  it('takes sizes of one own', async () => {
    const sizes = ['--hidden-size', '64', '--num-heads', '2', '--num-kv-heads', '1', '--num-layers', '3'];
    const others = [
      '--intermediate-size',
      '96',
      '--vocab-size',
      '300',
      '--context-length',
      '64',
      '--rope-theta',
      '5e5',
    ];
    const path = await synth('own.gguf', ...sizes, ...others, '--untied', '--type', 'F16');
    await using file = await openGguf(path);
    expect(file.tensors.get('output.weight')).toMatchObject({ dtype: 'f16', shape: [300, 64] });
    expect(file.tensors.get('blk.2.attn_k.weight')).toMatchObject({ shape: [32, 64] });
    expect(file.fields.float('llama.rope.freq_base')).toBe(500_000);
    expect(file.fields.uint('llama.context_length')).toBe(64);
  });

  it('overwrites only when told to', async () => {
    const path = await synth('kept.gguf');
    const before = await stat(path);
    expect(await runCli(['synth', path])).toMatchObject({ code: 2, stderr: expect.stringContaining('--force') });
    expect((await stat(path)).mtimeMs).toBe(before.mtimeMs);
    expect((await runCli(['synth', path, '--force', '--json'])).stdout).toContain('"numParameters":1443072');
  });

  it('leaves nothing behind when interrupted', async () => {
    const path = folder.at('interrupted.gguf');
    const temporary = async (): Promise<string[]> =>
      (await readdir(folder.at('.'))).filter((name) => name.startsWith('interrupted.gguf'));
    const { code } = await runCli(['synth', path, '--shape', 'llama-3.2-1b', '--type', 'f32'], {
      onStart: async (child) => {
        while ((await temporary()).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
        child.kill('SIGINT');
      },
    });
    expect(code).toBe(130);
    expect(await temporary()).toEqual([]);
  });

  it.each([
    [['synth', 'OUT', '--type', 'iq4_nl'], 2],
    [['synth', 'OUT', '--num-kv-heads', '3'], 2],
    [['synth', 'OUT', '--head-dim', '33'], 2],
    [['synth', '/nowhere/out.gguf'], 3],
    [['synth', '--help'], 0],
  ])('%j ends with code %i and writes nothing', async (words, expected) => {
    const out = folder.at(`wrong-${words.join('-').replaceAll('/', '')}.gguf`);
    const { code, stdout, stderr } = await runCli(words.map((word) => (word === 'OUT' ? out : word)));
    expect(code).toBe(expected);
    expect(existsSync(out)).toBe(false);
    if (expected === 0) expect(stdout).toContain('Example:');
    else expect(stderr).not.toMatch(/ {4}at |numRotaryDims/);
  });
});
