/** `quern bench`: that it measures what it names and says with what. Whether the figures are good is no test's business. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const DRAFT = bundledModelPath('draft');

interface Record {
  readonly test: string;
  readonly tokensPerSecond: { readonly median: number; readonly min: number; readonly max: number };
}

async function bench(...args: string[]): Promise<Record[]> {
  const { code, stdout, stderr } = await runCli(['bench', '-m', DRAFT, ...args, '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record);
}

describe('quern bench', () => {
  it('gives one JSON object a line, with all that is needed to repeat it', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    const records = await bench('-p', '40', '-n', '6', '--batch', '1,3', '--repetitions', '2', '-t', '2');
    expect(records.map(({ test }) => test)).toEqual(['pp40', 'tg6', 'tg6@b3']);
    for (const record of records) {
      const { median, min, max } = record.tokensPerSecond;
      expect(min).toBeGreaterThan(0);
      expect(median).toBeGreaterThanOrEqual(min);
      expect(max).toBeGreaterThanOrEqual(median);
      expect(record).toMatchObject({
        quern: version,
        node: process.version,
        cpu: expect.any(String),
        backend: 'wasm',
        features: { relaxedSimd: { used: expect.any(Boolean) } },
        threads: 2,
        model: 'story-draft-q8_0.gguf',
        type: 'q8_0',
        kvDtype: 'f32',
        repetitions: 2,
      });
    }
  });

  it('says what is really in use', async () => {
    const options = ['--backend', 'reference', '-t', '0', '--kv-dtype', 'f16', '-p', '0', '-n', '2', '-r', '1'];
    expect(await bench(...options)).toMatchObject([
      { test: 'tg2', backend: 'reference', threads: 0, kvDtype: 'f16', features: {} },
    ]);
    const portable = ['--numerics', 'portable', '--revectorize', 'off', '-p', '8', '-n', '0', '-r', '1'];
    expect(await bench(...portable)).toMatchObject([
      { features: { relaxedSimd: { used: false }, revectorized: { used: false } } },
    ]);
  });

  it('measures at a depth, and batches whose prompts fill more than one step', async () => {
    const records = await bench('-p', '32', '-n', '3', '-d', '64', '-b', '1,20', '-r', '2', '-t', '0');
    expect(records.map(({ test }) => test)).toEqual(['pp32@d64', 'tg3@d64', 'tg3@b20@d64']);
  });

  it('prints a table without --json', async () => {
    const { code, stdout, stderr } = await runCli(['bench', '-m', DRAFT, '-n', '2', '-r', '1']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /q8_0; KV f32\nwasm \(.*\n.*quern \d.*\n\n {2}test +tokens\/s +lowest +highest\n {2}pp511 .*\n {2}tg2 /,
    );
  });

  const wrong: [string, string[], number, RegExp][] = [
    [
      'a prompt beyond the context',
      ['-p', '512'],
      2,
      /--prompt: 512 tokens do not fit into a context of 512; at most 511/,
    ],
    ['a context beyond the model', ['-c', '513'], 2, /--context-length: 513 is more than the model's 512/],
    ['a batch of nothing', ['-b', '1,,2'], 2, /--batch.*whole number from 1 to 512/],
    ['nothing to measure', ['-p', '0', '-n', '0'], 2, /nothing to measure/],
    ['an unknown backend', ['--backend', 'abacus'], 2, /backend: must be one of auto, /],
  ];
  it.each(wrong)('%s is an error in one line', async (_what, args, code, message) => {
    const result = await runCli(['bench', '-m', DRAFT, ...args]);
    expect(result.stderr).toMatch(message);
    expect(result).toMatchObject({ code, stdout: '' });
  });

  it('refuses a file that is no model', async () => {
    const path = await folder.put('no.gguf', 'not a model');
    const { code, stdout, stderr } = await runCli(['bench', '-m', path]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain('no.gguf');
  });

  it('ends cleanly at the first Ctrl-C, with what was measured until then', async () => {
    const args = ['-p', '16', '-n', '400', '-r', '50', '--json'];
    const { code, stdout, stderr } = await runCli(['bench', '-m', DRAFT, ...args], {
      onFirstOutput: (child) => child.kill('SIGINT'),
    });
    expect(code).toBe(130);
    expect(JSON.parse(stdout)).toMatchObject({ test: 'pp16' });
    expect(stderr).toBe('quern: the request was aborted\n');
  });
});
