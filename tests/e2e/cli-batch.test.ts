/** `quern batch`, as a person and as a script would use it, and as a bad day would end it. */
import { spawn } from 'node:child_process';
import { appendFile, copyFile, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const BIN = fileURLToPath(new URL('../../bin/quern.js', import.meta.url));
const MODEL = ['-m', bundledModelPath('draft'), '-t', '1'];

interface BatchRecord {
  readonly index: number;
  readonly id?: string;
  readonly text?: string;
  readonly finish_reason?: string;
  readonly usage?: Record<string, number>;
  readonly error?: { readonly code: string; readonly message: string };
  readonly [field: string]: unknown;
}

function batch(input: string, out: string, ...args: string[]) {
  return runCli(['batch', input, '--out', out, ...MODEL, ...args]);
}

async function readRecords(path: string): Promise<BatchRecord[]> {
  const text = await readFile(path, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as BatchRecord);
}

/** What does not depend on what else was in the batch, in the order of the input. */
function answers(records: readonly BatchRecord[]): unknown[] {
  return records
    .toSorted((a, b) => a.index - b.index)
    .map(({ usage, ...rest }) => ({ ...rest, completionTokens: usage?.completion_tokens }));
}

const jsonl = (lines: readonly object[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('');

/** Answers of very different lengths, so that they do not end in the order of the input. */
const STORIES = Array.from({ length: 18 }, (_, i) => ({
  prompt: `Story number ${i}: once upon a time`,
  max_tokens: i % 3 === 0 ? 40 : 5 + (i % 7),
  ...(i % 2 === 0 ? {} : { id: `story-${i}` }),
}));

/** Starts the command, ends it with a signal when the output has so many lines, and gives its exit. */
async function endAfterLines(signal: NodeJS.Signals, count: number, args: readonly string[], out: string) {
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  for (;;) {
    const text = await readFile(out, 'utf8').catch(() => '');
    if (text.split('\n').length > count || child.exitCode !== null) break;
    await delay(2);
  }
  child.kill(signal);
  return { code: await closed, stderr };
}

describe('answers', () => {
  it('are those of `quern run` with the same options and seed, whatever else is in the batch', async () => {
    const input = await folder.put('same.jsonl', jsonl(STORIES));
    const out = folder.at('same-out.jsonl');
    const result = await batch(input, out, '--seed', '40', '--include-tokens', '--include-prompt', '--json');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(result.stdout)).toMatchObject({ answered: 18, failed: 0, alreadyDone: 0 });
    const records = await readRecords(out);
    expect(records.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(STORIES.map((_, i) => i));
    for (const index of [0, 7]) {
      const { prompt, max_tokens } = STORIES[index]!;
      const args = ['run', ...MODEL, '--seed', String(40 + index), '-n', String(max_tokens), '--json', '-q', prompt];
      const alone = JSON.parse((await runCli(args)).stdout) as Record<string, unknown>;
      expect(records.find((record) => record.index === index)).toMatchObject({
        prompt,
        text: alone.text,
        tokens: alone.tokens,
        finish_reason: alone.finishReason,
        seed: 40 + index,
        usage: { completion_tokens: max_tokens },
      });
    }
  });

  it("follow a line's own options before the command line's", async () => {
    const lines = [
      { prompt: 'The sea', temperature: 0, max_tokens: 6 },
      { prompt: 'The sea', seed: 9 },
      { prompt: [0, 1739, 328], max_tokens: 3, n: 2, logprobs: 1, id: 7 },
      { messages: [{ role: 'user', content: 'The sea' }], max_tokens: 2 },
    ];
    const out = folder.at('options-out.jsonl');
    const { code } = await runCli(['batch', '-', '--out', out, ...MODEL, '-n', '4', '--seed', '1', '--in-order'], {
      stdin: jsonl(lines),
    });
    expect(code).toBe(0);
    const [greedy, seeded, choices, chat] = await readRecords(out);
    const run = async (...args: string[]) =>
      (await runCli(['run', ...MODEL, '-q', '--no-echo', ...args, 'The sea'])).stdout;
    expect(greedy!.text).toBe(await run('--temperature', '0', '-n', '6'));
    expect(seeded!.text).toBe(await run('--seed', '9', '-n', '4'));
    expect(choices).toMatchObject({ id: 7, index: 2 });
    expect(choices!.choices).toHaveLength(2);
    expect(choices!.logprobs).toHaveLength(3);
    expect(chat).toMatchObject({ index: 3, finish_reason: 'length', usage: { completion_tokens: 2 } });
    expect(chat!.usage!.prompt_tokens).toBeGreaterThan(greedy!.usage!.prompt_tokens!);
  });
});

describe('a line that cannot be answered', () => {
  const LINES = [
    '{"prompt": "Once", "max_tokens": 3}',
    'not json',
    '',
    '{"prompt": "Once", "temp": 1}',
    '{"prompt": "Once", "id": "a", "max_tokens": 2}',
    '{"prompt": "Twice", "id": "a"}',
    '{"id": "b"}',
    `{"prompt": ${JSON.stringify('word '.repeat(800))}}`,
    '[1, 2]',
    '{"prompt": ""  , "max_tokens": 2}',
  ];

  it('becomes an error line, and the exit code says so', async () => {
    const input = await folder.put('bad.jsonl', LINES.join('\n'));
    const out = folder.at('bad-out.jsonl');
    const { code, stderr, stdout } = await batch(input, out, '--in-order');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^quern: 6 of 9 lines failed; their errors are in .*\n$/);
    const records = await readRecords(out);
    expect(records.map(({ index, error }) => [index, error?.code ?? 'ok'])).toEqual([
      [0, 'ok'],
      [1, 'FORMAT'],
      [3, 'INVALID_ARGUMENT'],
      [4, 'ok'],
      [5, 'FORMAT'],
      [6, 'FORMAT'],
      [7, 'CONTEXT_LENGTH'],
      [8, 'FORMAT'],
      [9, 'ok'],
    ]);
    const messages = records.map(({ error }) => error?.message ?? '');
    expect(messages[1]).toMatch(/line 2 at byte 36: is not JSON: "not json"/);
    expect(messages[2]).toMatch(/unknown option "temp"; did you mean temperature/);
    expect(messages[4]).toMatch(/has the id "a" that line 5 has already/);
    expect(messages[5]).toMatch(/has no "prompt" and no "messages"/);
  });

  it('is tried again, and may have been mended meanwhile; the others are not', async () => {
    const input = await folder.put('mend.jsonl', LINES.slice(0, 2).join('\n'));
    const out = folder.at('mend-out.jsonl');
    expect((await batch(input, out, '--seed', '1')).code).toBe(1);
    const first = (await readRecords(out)).find(({ error }) => error === undefined);
    await folder.put('mend.jsonl', `${LINES[0]}\n{"prompt": "Mended", "max_tokens": 2}\n`);
    const again = await batch(input, out, '--seed', '1', '--json');
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ answered: 1, alreadyDone: 1, failed: 0 });
    expect(await readRecords(out)).toEqual([first, expect.objectContaining({ index: 1, finish_reason: 'length' })]);
  });

  it('stops the run with --strict, without an error line', async () => {
    const out = folder.at('strict-out.jsonl');
    const { code, stderr } = await runCli(['batch', '-', '--out', out, ...MODEL, '--strict'], {
      stdin: `${LINES[0]}\n${LINES[1]}\n`,
    });
    expect(code).toBe(3);
    expect(stderr).toMatch(/^quern: stdin: line 2 at byte 36: is not JSON/);
    expect((await readRecords(out)).map(({ index }) => index)).toEqual([0]);
  });
});

describe('a run that ends early goes on where it stopped', () => {
  const args = (input: string, out: string) => [
    'batch',
    input,
    '--out',
    out,
    ...MODEL,
    '--seed',
    '3',
    '--max-num-seqs',
    '2',
  ];

  it('after a kill that tore the last line', async () => {
    const input = await folder.put('kill.jsonl', jsonl(STORIES));
    const [whole, torn] = [folder.at('kill-whole.jsonl'), folder.at('kill-torn.jsonl')];
    expect((await runCli(args(input, whole))).code).toBe(0);
    const { code } = await endAfterLines('SIGKILL', 5, args(input, torn), torn);
    expect(code).toBe(null);
    const before = await readRecords(torn);
    expect(before.length).toBeGreaterThanOrEqual(5);
    expect(before.length).toBeLessThan(18);
    await appendFile(torn, '{"index":17,"text":"half of');
    const again = await runCli([...args(input, torn), '--in-order', '--json']);
    expect(JSON.parse(again.stdout)).toMatchObject({ answered: 18 - before.length, alreadyDone: before.length });
    const after = await readRecords(torn);
    expect(after.map(({ index }) => index)).toEqual(STORIES.map((_, i) => i));
    expect(answers(after)).toEqual(answers(await readRecords(whole)));
    // Nothing is left to do, so nothing changes.
    expect(JSON.parse((await runCli([...args(input, torn), '--json'])).stdout)).toMatchObject({ answered: 0 });
    expect(await readRecords(torn)).toEqual(after);
  });

  it('after Ctrl-C, which says so and keeps what is finished', async () => {
    const input = await folder.put('interrupt.jsonl', jsonl(STORIES));
    const out = folder.at('interrupt-out.jsonl');
    const { code, stderr } = await endAfterLines('SIGINT', 3, args(input, out), out);
    expect(code).toBe(130);
    expect(stderr).toBe('quern: interrupted; the same command goes on where it stopped\n');
    const before = await readRecords(out);
    expect(before.length).toBeLessThan(18);
    expect((await runCli(args(input, out))).code).toBe(0);
    const after = await readRecords(out);
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after).toHaveLength(18);
  });

  it('but not when an answered line, or the options, have changed', async () => {
    const input = await folder.put('edit.jsonl', jsonl(STORIES.slice(1, 3)));
    const out = folder.at('edit-out.jsonl');
    expect((await batch(input, out, '--seed', '1')).code).toBe(0);
    const before = await readFile(out, 'utf8');
    const otherOptions = await batch(input, out, '--seed', '2');
    await folder.put('edit.jsonl', jsonl([STORIES[1]!, { ...STORIES[2], prompt: 'Edited' }]));
    const otherLine = await batch(input, out, '--seed', '1');
    expect(otherOptions.stderr).toMatch(/line 1 .*was answered by an earlier run, but it or the options have changed/);
    expect(otherLine.stderr).toMatch(/line 2 .*was answered by an earlier run/);
    expect([otherOptions.code, otherLine.code]).toEqual([3, 3]);
    expect(await readFile(out, 'utf8')).toBe(before);
  });
});

describe('a file that must not be written to', () => {
  it('is one that quern batch did not write, or the input itself', async () => {
    const input = await folder.put('precious.jsonl', jsonl(STORIES));
    const other = folder.at('precious-copy.jsonl');
    await copyFile(input, other);
    const foreign = await batch(input, other);
    const same = await batch(input, input);
    expect(foreign).toMatchObject({ code: 3, stderr: expect.stringMatching(/line 1 .*not written by quern batch/) });
    expect(same).toMatchObject({ code: 2, stderr: expect.stringMatching(/is the input itself/) });
    expect(await readFile(input, 'utf8')).toBe(jsonl(STORIES));
    expect(await readFile(other, 'utf8')).toBe(jsonl(STORIES));
  });

  it('and a missing input is told before a model is loaded', async () => {
    const { code, stderr } = await batch(folder.at('none.jsonl'), folder.at('none-out.jsonl'), '-m', 'no-such.gguf');
    expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringMatching(/none\.jsonl: no such file\n$/) });
  });
});
