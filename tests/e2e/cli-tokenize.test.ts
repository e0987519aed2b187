/** `quern tokenize` and `quern detokenize` as scripts and people use them. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { fixturePath, hasFixtures, skipNote } from '../helpers/fixtures.ts';
import { runCli } from '../helpers/run-cli.ts';

const jsonLines = (values: readonly unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const parseLines = (text: string): unknown[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);

describe.skipIf(!hasFixtures)(`llama.cpp's vocabulary tests through the command${skipNote}`, () => {
  it.each(['llama-spm', 'gpt-2', 'llama-bpe'])('%s: 47 of 47, and back', async (name) => {
    const model = fixturePath(`vocab/ggml-vocab-${name}.gguf`);
    const texts = (await readFile(`${model}.inp`, 'utf8')).split('\n__ggml_vocab_test__\n').slice(0, 47);
    const expected = (await readFile(`${model}.out`, 'utf8'))
      .split('\n')
      .slice(0, 47)
      .map((line) => line.trim().split(/\s+/).filter(Boolean).map(Number));
    const tokenized = await runCli(['tokenize', '--model', model, '--jsonl'], { stdin: jsonLines(texts) });
    expect(tokenized).toMatchObject({ code: 0, stderr: '' });
    expect(parseLines(tokenized.stdout)).toEqual(expected);
    const back = await runCli(['detokenize', '--model', model, '--jsonl'], { stdin: tokenized.stdout });
    expect(parseLines(back.stdout)).toEqual(texts);
  });
});

describe.skipIf(!hasFixtures)(`a Hugging Face folder${skipNote}`, () => {
  it('gives the ids that its GGUF file gives', async () => {
    const input = jsonLines(['Once upon a time', 'Ünïcödé 🦙']);
    const flags = ['--jsonl', '--add-special', '--parse-special'];
    const folder = await runCli(['tokenize', '-m', fixturePath('stories260k/hf'), ...flags], { stdin: input });
    const file = await runCli(['tokenize', '-m', fixturePath('stories260k/stories260K.gguf'), ...flags], {
      stdin: input,
    });
    expect(folder.stdout).toBe(file.stdout);
    expect(folder.stdout).toMatch(/^\[1,403,407,261,378]\n/);
  });
});

describe.concurrent('quern tokenize', () => {
  it('shows ids and pieces', async () => {
    const { code, stdout } = await runCli(['tokenize', 'Once upon a time']);
    expect(code).toBe(0);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
    expect(rows.map((row) => row[1])).toEqual(['On', 'ce', 'Ġupon', 'Ġa', 'Ġtime']);
  });

  it('adds and parses special tokens only when asked', async () => {
    const text = '<|endoftext|>';
    const ids = async (...flags: string[]): Promise<number[]> =>
      (JSON.parse((await runCli(['tokenize', '--json', text, ...flags])).stdout) as { tokens: number[] }).tokens;
    expect((await ids()).length).toBeGreaterThan(1);
    expect(await ids('--parse-special')).toEqual([0]);
    expect(await ids('--parse-special', '--add-special')).toEqual([0, 0]);
  });

  it('takes thousands of lines, with any line end that JSON allows inside a string', async () => {
    const texts = Array.from({ length: 5000 }, (_, i) => `line ${i}\u2028and \u0085 more\r\n`);
    // Raw, as other programs write them: JSON.stringify escapes none of U+0085 and U+2028.
    const { code, stdout } = await runCli(['tokenize', '--jsonl'], { stdin: jsonLines(texts) });
    expect(code).toBe(0);
    const back = await runCli(['detokenize', '--jsonl'], { stdin: stdout });
    expect(parseLines(back.stdout)).toEqual(texts);
  });

  it('takes a last line without its end, and no lines at all', async () => {
    expect((await runCli(['tokenize', '--jsonl'], { stdin: '"a"\r\n"a"' })).stdout).toMatch(/^(\[\d+]\n){2}$/);
    expect(await runCli(['tokenize', '--jsonl'])).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  it('names a line that is no string, after answering the lines before', async () => {
    const { code, stdout, stderr } = await runCli(['tokenize', '--jsonl'], { stdin: '"a"\n3\n' });
    expect(code).toBe(3);
    expect(stdout).toMatch(/^\[\d+]\n$/);
    expect(stderr).toMatch(/^quern: stdin: line 2 at byte 4: must be a JSON string.*\n$/);
  });

  it('makes nothing in the vocabulary steer a terminal', async () => {
    const { stdout } = await runCli(['tokenize', 'a\u001b[31mb\u202ec']);
    expect(stdout).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
  });

  it.each([
    [['tokenize'], 2],
    [['tokenize', '--jsonl', 'text'], 2],
    [['tokenize', '-m', '/nowhere/model.gguf', 'text'], 3],
    [['tokenize', '-m', '/', 'text'], 3],
    [['tokenize', '--help'], 0],
    [['detokenize', '--help'], 0],
    [['detokenize', '1,x'], 2],
    [['detokenize', '2048'], 2],
  ])('%j ends with code %i', async (args, expected) => {
    const { code, stdout, stderr } = await runCli(args);
    expect(code).toBe(expected);
    if (expected === 0) expect(stdout).toContain('Example:');
    else expect(stderr).not.toContain('    at ');
  });

  it('ends quietly when nobody reads on', async () => {
    const input = jsonLines(Array.from({ length: 20_000 }, (_, i) => `line ${i}`));
    const { code, stderr } = await runCli(['tokenize', '--jsonl'], {
      stdin: input,
      onFirstOutput: (child) => child.stdout!.destroy(),
    });
    expect(code).toBe(141);
    expect(stderr).toBe('');
  });
});

describe.concurrent('quern detokenize', () => {
  it('takes ids as a list, as words, and on lines', async () => {
    expect((await runCli(['detokenize', '1739,328', '645'])).stdout).toBe('Once upon');
    expect((await runCli(['detokenize', '--jsonl'], { stdin: '[1739,328,645]\n[]\n' })).stdout).toBe(
      '"Once upon"\n""\n',
    );
  });

  it('leaves out special tokens when asked', async () => {
    expect((await runCli(['detokenize', '0,1739', '--skip-special'])).stdout).toBe('On');
  });

  it('names the line and the id that is no token', async () => {
    const { code, stderr } = await runCli(['detokenize', '--jsonl'], { stdin: '[1]\n[3,2048]\n' });
    expect(code).toBe(3);
    expect(stderr).toContain('line 2 at byte 4: 2048 (number 2) is not a token id below 2048');
  });
});
