/** `quern perplexity` against the same sums by hand, and against the program that trained the models. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';
import { fixturePath, hasFixtures, readJson, sharedModelPath, skipNote } from '../helpers/fixtures.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const DRAFT = bundledModelPath('draft');
const TEXT =
  'Once upon a time there was a king who had three sons. The youngest of them was so small that nobody saw him.\n\n' +
  '"Where are you going?" asked the old woman. "To the sea," he said, "and then to the end of the world!"\n'.repeat(2);

interface PerplexityJson {
  readonly perplexity: number;
  readonly nll: number;
  readonly standardError: number;
  readonly numTokens: number;
  readonly numWindows: number;
}

async function perplexity(args: readonly string[], stdin?: string): Promise<PerplexityJson> {
  const result = await runCli(['perplexity', ...args, '--json'], stdin === undefined ? {} : { stdin });
  expect(result).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(result.stdout) as PerplexityJson;
}

describe('quern perplexity', () => {
  it('is e to the mean of what engine.score gives for each window', async () => {
    const path = await folder.put('story.txt', TEXT);
    const [whole, windows] = await Promise.all([
      perplexity([path, '-m', DRAFT]),
      perplexity(['-', '-m', DRAFT, '--window', '32', '--stride', '20', '-t', '0'], TEXT),
    ]);
    await using engine = await Engine.load(DRAFT, { numThreads: 0, maxWaitMs: 0 });
    const score = await engine.score(TEXT);
    const numTokens = score.tokenIds.length - 1;
    expect(score.tokenIds[0]).toBe(engine.tokenizer.bosId);
    expect(whole).toMatchObject({ numTokens, numWindows: 1 });
    expect(whole.nll).toBeCloseTo(-score.sumLogprob / numTokens, 10);
    expect(whole.perplexity).toBeCloseTo(score.perplexity, 8);
    const nlls: number[] = [];
    for (let start = 0; nlls.length < numTokens; start += 20) {
      const { logprobs } = await engine.score(score.tokenIds.slice(start, start + 32));
      nlls.push(...logprobs.slice(nlls.length - start).map((logprob) => -logprob));
    }
    const mean = nlls.reduce((sum, nll) => sum + nll, 0) / numTokens;
    const variance = nlls.reduce((sum, nll) => sum + (nll - mean) ** 2, 0) / numTokens;
    expect(windows.numTokens).toBe(numTokens);
    expect(windows.numWindows).toBeGreaterThan(3);
    expect(windows.nll).toBeCloseTo(mean, 10);
    expect(windows.standardError).toBeCloseTo(Math.sqrt(variance / (numTokens - 1)), 10);
  });

  it('prints a few plain lines without --json', async () => {
    const { code, stdout, stderr } = await runCli(
      ['perplexity', '-', '-m', DRAFT, '--max-windows', '2', '--window', '16'],
      {
        stdin: TEXT,
      },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^perplexity [\d.]+ \+- [\d.]+\nnll .* per token\ntokens {5}30 in 2 windows of up to 16, stride 15\n$/,
    );
  });

  it('reads special tokens only when told so, and starts windows with BOS only when told so', async () => {
    const text = `${TEXT}<|endoftext|>${TEXT}`;
    const args = ['-', '-m', DRAFT, '--window', '24'];
    const [plain, special, bos] = await Promise.all([
      perplexity(args, text),
      perplexity([...args, '--parse-special'], text),
      perplexity([...args, '--parse-special', '--bos-each-window'], text),
    ]);
    expect(special.numTokens).toBeLessThan(plain.numTokens);
    expect(bos.numTokens).toBe(special.numTokens);
    expect(bos.nll).not.toBe(special.nll);
  });

  const wrong: [string, string[], string | Uint8Array, number, RegExp][] = [
    ['no text', [], '', 3, /stdin: text at byte 0: has no token to predict/],
    ['bytes that are not UTF-8', [], '\uFFFE', 3, /not UTF-8/],
    ['a window beyond the context', ['--window', '514'], TEXT, 2, /--window: 514 is more than the context of 512/],
    ['a stride that leaves out tokens', ['--window', '16', '--stride', '16'], TEXT, 2, /--stride: .*at most 15/],
    ['a window of one token', ['--window', '1'], TEXT, 2, /whole number from 2/],
  ];
  it.each(wrong)('%s is an error in one line', async (what, args, text, expectedCode, message) => {
    const path = await folder.put('wrong.txt', what.includes('UTF-8') ? Uint8Array.of(97, 0xff, 98) : text);
    const stdin = what === 'no text' ? { stdin: '' } : {};
    const { code, stdout, stderr } = await runCli(
      ['perplexity', what === 'no text' ? '-' : path, '-m', DRAFT, ...args],
      stdin,
    );
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: expectedCode, stdout: '' });
  });
});

describe.skipIf(!hasFixtures)(`against PyTorch${skipNote}`, () => {
  interface Golden {
    readonly valid: { readonly loss: number; readonly first_window_nll: number[] };
  }

  /** Stories that the training program set apart by a token alone; the file has it in a line of its own. */
  const readText = async () =>
    (await readFile(fixturePath('text/story-valid.txt'), 'utf8')).replaceAll('\n<|endoftext|>\n', '<|endoftext|>');

  it('gives the log-likelihoods of the first window: the text after one BOS, in windows of 512', async () => {
    const { valid } = await readJson<Golden>(new URL('../golden/story-draft.json', import.meta.url).pathname);
    const path = await folder.put('valid.txt', await readText());
    // PyTorch's windows read 512 tokens and predict 512: the last one read predicts the first of the next window.
    const windows = ['--window', '513', '--stride', '512', '--max-windows', '1'];
    const model = ['-m', sharedModelPath('story-draft-f16.gguf'), '--backend', 'reference'];
    const { nll, numTokens } = await perplexity([path, '--parse-special', ...windows, ...model]);
    expect(numTokens).toBe(512);
    expect(valid.first_window_nll).toHaveLength(512);
    const expected = valid.first_window_nll.reduce((sum, value) => sum + value, 0) / 512;
    expect(Math.abs(nll - expected)).toBeLessThan(1e-5);
  });
});
