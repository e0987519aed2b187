/** `quern tokenize` and `quern detokenize` as scripts and people use them. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { fixturePath, hasFixtures, skipNote } from '../helpers/fixtures.ts';
import { quern } from './run-quern.ts';

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
    const tokenized = await quern(['tokenize', '--model', model, '--jsonl'], { input: jsonLines(texts) });
    expect(tokenized).toMatchObject({ code: 0, stderr: '' });
    expect(parseLines(tokenized.stdout)).toEqual(expected);
    const back = await quern(['detokenize', '--model', model, '--jsonl'], { input: tokenized.stdout });
    expect(parseLines(back.stdout)).toEqual(texts);
  });
});

describe.skipIf(!hasFixtures)(`a Hugging Face folder${skipNote}`, () => {
  it('gives the ids that its GGUF file gives', async () => {
    const input = jsonLines(['Once upon a time', 'Ünïcödé 🦙']);
    const flags = ['--jsonl', '--add-special', '--parse-special'];
    const folder = await quern(['tokenize', '-m', fixturePath('stories260k/hf'), ...flags], { input });
    const file = await quern(['tokenize', '-m', fixturePath('stories260k/stories260K.gguf'), ...flags], { input });
    expect(folder.stdout).toBe(file.stdout);
    expect(folder.stdout).toMatch(/^\[1,403,407,261,378]\n/);
  });
});

describe.concurrent('quern tokenize', () => {
  it('shows ids and pieces', async () => {
    const { code, stdout } = await quern(['tokenize', 'Once upon a time']);
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
      (JSON.parse((await quern(['tokenize', '--json', text, ...flags])).stdout) as { tokens: number[] }).tokens;
    expect((await ids()).length).toBeGreaterThan(1);
    expect(await ids('--parse-special')).toEqual([0]);
    expect(await ids('--parse-special', '--add-special')).toEqual([0, 0]);
  });

  it('takes thousands of lines, with any line end that JSON allows inside a string', async () => {
    const texts = Array.from({ length: 5000 }, (_, i) => `line ${i}\u2028and \u0085 more\r\n`);
    // Raw, as other programs write them: JSON.stringify escapes none of U+0085 and U+2028.
    const { code, stdout } = await quern(['tokenize', '--jsonl'], { input: jsonLines(texts) });
    expect(code).toBe(0);
    const back = await quern(['detokenize', '--jsonl'], { input: stdout });
    expect(parseLines(back.stdout)).toEqual(texts);
  });

  it('takes a last line without its end, and no lines at all', async () => {
    expect((await quern(['tokenize', '--jsonl'], { input: '"a"\r\n"a"' })).stdout).toMatch(/^(\[\d+]\n){2}$/);
    expect(await quern(['tokenize', '--jsonl'])).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  it.each([
    ['a number', '"a"\n3\n', 'line 2 at byte 4: must be a JSON string'],
    ['no JSON', '"a"\nnope\n', 'line 2 at byte 4: is not JSON'],
    ['an empty line', '\n"a"\n', 'line 1 at byte 0: is empty'],
    ['bytes that are no UTF-8', Buffer.from('22c32822', 'hex'), 'line 1 at byte 0: is not valid UTF-8'],
  ])('names the line with %s, after answering the lines before', async (_name, input, message) => {
    const { code, stdout, stderr } = await quern(['tokenize', '--jsonl'], { input });
    expect(code).toBe(3);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    if (message.includes('line 2')) expect(stdout).toMatch(/^\[\d+]\n$/);
  });

  it('makes nothing in the vocabulary steer a terminal', async () => {
    const { stdout } = await quern(['tokenize', 'a\u001b[31mb\u202ec']);
    expect(stdout).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
  });

  it.each([
    [['tokenize'], 2],
    [['tokenize', '--jsonl', 'text'], 2],
    [['tokenize', '--nonsense'], 2],
    [['tokenize', '-m', '/nowhere/model.gguf', 'text'], 3],
    [['tokenize', '-m', '/', 'text'], 3],
    [['tokenize', '--tokenizer', '/nowhere', 'text'], 3],
    [['tokenize', '--help'], 0],
    [['detokenize', '--help'], 0],
    [['detokenize'], 2],
    [['detokenize', '1,x'], 2],
    [['detokenize', '--', '-1'], 2],
    [['detokenize', '2048'], 2],
  ])('%j ends with code %i', async (args, expected) => {
    const { code, stdout, stderr } = await quern(args);
    expect(code).toBe(expected);
    if (expected === 0) expect(stdout).toContain('Example:');
    else expect(stderr).not.toContain('    at ');
  });

  it('ends quietly when nobody reads on', async () => {
    const input = jsonLines(Array.from({ length: 20_000 }, (_, i) => `line ${i}`));
    const { code, stderr } = await quern(['tokenize', '--jsonl'], {
      input,
      onStart: (child) => child.stdout!.once('data', () => child.stdout!.destroy()),
    });
    expect(code).toBe(141);
    expect(stderr).toBe('');
  });
});

describe.concurrent('quern detokenize', () => {
  it('takes ids as a list, as words, and on lines', async () => {
    expect((await quern(['detokenize', '1739,328', '645'])).stdout).toBe('Once upon');
    expect((await quern(['detokenize', '--jsonl'], { input: '[1739,328,645]\n[]\n' })).stdout).toBe(
      '"Once upon"\n""\n',
    );
  });

  it('leaves out special tokens when asked', async () => {
    expect((await quern(['detokenize', '0,1739', '--skip-special'])).stdout).toBe('On');
  });

  it.each([
    ['[1]\n[2048]\n', 'line 2 at byte 4: 2048 (number 1) is not a token id below 2048'],
    ['[1,1.5]\n', 'line 1 at byte 0: 1.5 (number 2) is not a token id'],
    ['"text"\n', 'line 1 at byte 0: must be a JSON array'],
  ])('names the line and the id of %j', async (input, message) => {
    const { code, stderr } = await quern(['detokenize', '--jsonl'], { input });
    expect(code).toBe(3);
    expect(stderr).toContain(message);
  });
});
