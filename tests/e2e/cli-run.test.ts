/** `quern run` and `quern logits`, used as a person and as a script would. */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { fixturePath, hasFixtures, readJson, skipNote } from '../helpers/fixtures.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const DRAFT = bundledModelPath('draft');

describe('quern run', () => {
  it('prints the prompt and what follows, and the speed on stderr', async () => {
    const { code, stdout, stderr } = await runCli([
      'run',
      '-m',
      DRAFT,
      '--temperature',
      '0',
      '-n',
      '8',
      'Once upon a time',
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Once upon a time.{5,}/);
    expect(stderr).toMatch(/6 prompt tokens.* 8 generated at [\d.]+ tokens\/s \(seed \d+\)/);
  });

  it('--json and --no-echo say the same; a seed repeats a run, in any number of threads', async () => {
    const args = ['run', '-m', DRAFT, '--seed', '7', '-n', '12', '-q', 'The sea'];
    const [json, text, threaded] = await Promise.all([
      runCli([...args, '--json']),
      runCli([...args, '--no-echo', '-t', '0']),
      runCli([...args, '-t', '3']),
    ]);
    const result = JSON.parse(json.stdout) as { text: string; tokens: number[]; seed: number; finishReason: string };
    expect(result).toMatchObject({ seed: 7, finishReason: 'length' });
    expect(result.tokens).toHaveLength(12);
    expect(text).toEqual({ code: 0, stdout: result.text, stderr: '' });
    expect(threaded.stdout).toBe(`The sea${result.text}`);
  });

  it('reads the prompt from stdin, and stops before a stop string', async () => {
    const args = ['run', '-m', DRAFT, '--temperature', '0', '-n', '40', '-q', '--no-echo'];
    const whole = (await runCli([...args, '-'], { stdin: 'Once upon a time' })).stdout;
    const stop = whole.slice(12, 16);
    const cut = await runCli([...args, '--stop', stop, 'Once upon a time']);
    expect(cut.stdout).toBe(whole.slice(0, whole.indexOf(stop)));
  });

  it('starts from nothing when the prompt is empty and the model has a first token', async () => {
    const { code, stdout } = await runCli(['run', '-m', DRAFT, '-n', '5', '--seed', '1', '-q', '']);
    expect(code).toBe(0);
    expect(stdout.length).toBeGreaterThan(0);
  });

  it('ends quietly when nobody reads on', async () => {
    const { code, stderr } = await runCli(['run', '-m', DRAFT, '-n', '400', '-q', 'Once'], {
      onFirstOutput: (child) => child.stdout?.destroy(),
    });
    expect(code).toBe(141);
    expect(stderr).toBe('');
  });

  it.skipIf(!existsSync('/dev/full'))('says that the disk is full, in a line', () => {
    for (const args of [
      ['run', '-m', DRAFT, '-n', '3', '-q', 'Once'],
      ['logits', '-m', DRAFT, '--tokens', '1', '--out', '/dev/full'],
    ]) {
      const full = openSync('/dev/full', 'w');
      const { stderr, status } = spawnSync(process.execPath, ['bin/quern.js', ...args], {
        stdio: ['ignore', full, 'pipe'],
        encoding: 'utf8',
      });
      closeSync(full);
      expect(stderr).toMatch(/^quern: (stdout|\/dev\/full): cannot be written: no space is left\n$/);
      expect(status).toBe(args[0] === 'run' ? 1 : 3);
    }
  });

  it('the first Ctrl-C aborts with its own exit code', async () => {
    const { code, stderr } = await runCli(['run', '-m', DRAFT, '-n', '500', '--ignore-eos', 'Once'], {
      onFirstOutput: (child) => child.kill('SIGINT'),
    });
    expect(code).toBe(130);
    expect(stderr).toMatch(/aborted/);
  });

  it.skipIf(!hasFixtures)(
    `gives the golden text of stories260K, from GGUF and from a Hugging Face folder${skipNote}`,
    async () => {
      const { cases } = await readJson<{ cases: { text: string }[] }>(fixturePath('stories260k/golden.json'));
      for (const model of ['stories260k/stories260K.gguf', 'stories260k/hf']) {
        const args = [
          'run',
          '--model',
          fixturePath(model),
          '--temperature',
          '0',
          '--max-tokens',
          '200',
          'Once upon a time',
        ];
        const { stdout } = await runCli(args);
        expect(stdout.length).toBeGreaterThan(450);
        expect(cases[1]!.text.startsWith(stdout)).toBe(true);
      }
    },
  );

  it.skipIf(!hasFixtures)(`finds the tokenizer of a sharded copy in a sub-folder${skipNote}`, async () => {
    const model = fixturePath('stories260k/hf/bf16-sharded');
    const { code, stdout } = await runCli([
      'run',
      '--model',
      model,
      '--temperature',
      '0',
      '-n',
      '100',
      '-q',
      'Once upon a time',
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^Once upon a time, there was a little girl named Lily\. She loved to play outside in the park\./,
    );
  });
});

describe('quern logits', () => {
  it('prints greedy ids and writes one row per token, the generated ones fed back', async () => {
    const out = folder.at('logits.f32');
    const tokens = '0,1739,328';
    const args = [
      'logits',
      '--model',
      DRAFT,
      '--backend',
      'reference',
      '--kv-dtype',
      'f32',
      '--tokens',
      tokens,
      '--json',
    ];
    const { code, stdout } = await runCli([...args, '--generate', '3', '--out', out]);
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as { tokens: number[]; numRows: number; vocabSize: number };
    expect(result.tokens).toHaveLength(3);
    expect(result.numRows).toBe(6);
    const bytes = await readFile(out);
    expect(bytes.length).toBe(6 * result.vocabSize * 4);
    const rows = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    for (const [i, id] of result.tokens.entries()) {
      const row = rows.subarray((2 + i) * result.vocabSize, (3 + i) * result.vocabSize);
      expect(row.indexOf(Math.max(...row))).toBe(id);
    }
  });
});

describe('what is wrong is said in one line, with an exit code', () => {
  const cases: [string, string[], number, RegExp][] = [
    ['an unknown command', ['rnu'], 2, /unknown command 'rnu'.*run/s],
    ['an unknown option', ['run', '--temprature', '1', 'x'], 2, /unknown option '--temprature'.*--temperature/s],
    ['a number that is none', ['run', '-n', 'many', 'x'], 2, /'-n, --max-tokens <n>'.*whole number/],
    [
      'a bias that is none',
      ['run', '--logit-bias', '5', 'x'],
      2,
      /'--logit-bias <id=x>'.*Expected a token id and a number/,
    ],
    ['a bias of two numbers', ['run', '--logit-bias', '5=1=2', 'x'], 2, /'5=1=2' is invalid/],
    [
      'a number out of range',
      ['run', '-m', DRAFT, '--top-p', '1.5', 'x'],
      2,
      /^quern: --top-p: must be a number from 0 to 1, got 1\.5\n$/,
    ],
    [
      'an unknown backend',
      ['run', '-m', DRAFT, '--backend', 'cuda', 'x'],
      2,
      /^quern: --backend: must be one of auto, /,
    ],
    ['a missing file', ['run', '-m', 'no-such.gguf', 'x'], 3, /^quern: no-such\.gguf: no such file\n$/],
    [
      'a folder that is no model',
      ['run', '-m', 'docs', 'x'],
      3,
      /^quern: docs: folder .* a model folder holds config\.json/,
    ],
    ['a file that is no model', ['run', '-m', 'package.json', 'x'], 3, /^quern: package\.json: .*neither a GGUF file/],
    [
      'a prompt longer than the context',
      ['run', '-m', DRAFT, 'word '.repeat(800)],
      3,
      /^quern: \d+ tokens do not fit .* 512: shorten/,
    ],
    [
      'more tokens than the context',
      ['run', '-m', DRAFT, '-n', '600', 'x'],
      3,
      /do not fit into a context of 512: .*--max-tokens is 600/,
    ],
    [
      'a context beyond the model',
      ['run', '-m', DRAFT, '-c', '513', 'x'],
      2,
      /^quern: --context-length: .* from 1 to 512, got 513/,
    ],
    [
      'a token outside the vocabulary',
      ['logits', '-m', DRAFT, '--tokens', '1,99999'],
      2,
      /--tokens: 99999 is not a token id/,
    ],
    [
      'an output that cannot be written',
      ['logits', '-m', DRAFT, '--tokens', '1', '--out', 'no/such/folder/x'],
      3,
      /^quern: no\/such\/folder\/x: cannot be written: there is no such folder\n$/,
    ],
    ['a folder in place of a text', ['perplexity', '-m', DRAFT, '.'], 3, /^quern: \.: it is a folder\n$/],
    ['- for an output', ['logits', '-m', DRAFT, '--tokens', '1', '--out', '-'], 2, /--out: stdout is not for this/],
    ['threads that would stand idle', ['logits', '-m', DRAFT, '--tokens', '1', '-t', '2'], 2, /unknown option '-t'/],
    ['a number too large', ['run', '--seed', '99999999999999999999', 'x'], 2, /to 9007199254740991\./],
    ['an empty name for a model', ['run', '-m', '', 'x'], 3, /^quern: '': no such file\n$/],
  ];
  it.each(cases)('%s', async (_what, args, expectedCode, message) => {
    const { code, stdout, stderr } = await runCli(args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(stdout).toBe('');
    expect(code).toBe(expectedCode);
  });
});

it('quern logits ends at Ctrl-C, though it computes on the thread that would hear of it', async () => {
  // What the process says once it listens, so that the signal does not come too early.
  const announce = 'process.on("newListener", (name) => name === "SIGINT" && console.log("listens"))';
  const model = folder.at('slow.gguf');
  await writeTinyModel(model, { ...TINY, numLayers: 8, contextLength: 4096 });
  const { code } = await runCli(
    ['logits', '-m', model, '--backend', 'reference', '--tokens', '1', '--generate', '4095'],
    {
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(announce)}` },
      // The model is read by then, and many seconds of it are still to come. Too early is no failure.
      onFirstOutput: (child) => setTimeout(() => child.kill('SIGINT'), 800),
    },
  );
  expect(code).toBe(130);
});

it('without shared memory it computes on its own thread, and says so when threads are asked for', async () => {
  const env = { NODE_OPTIONS: '--import=data:text/javascript,delete%20globalThis.SharedArrayBuffer' };
  const args = ['-m', DRAFT, '-n', '3', '--temperature', '0', 'Once'];
  const runs = await Promise.all([
    runCli(['run', ...args]),
    runCli(['run', ...args], { env }),
    runCli(['run', '--backend', 'reference', ...args], { env }),
  ]);
  expect(runs.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
    Array(3).fill({ code: 0, stdout: runs[0].stdout }),
  );
  const { code, stderr } = await runCli(['run', '-t', '2', ...args], { env });
  expect(stderr).toBe(
    'quern: numThreads 2 is not supported: this process has no SharedArrayBuffer; 0 computes without\n',
  );
  expect(code).toBe(3);
});

it('an older Node gets a sentence, not the first syntax that it does not know', async () => {
  const pretend = 'Object.defineProperty(process.versions, "node", { value: "22.18.0" })';
  const { code, stdout, stderr } = await runCli(['--version'], {
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretend)}` },
  });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^a checkout of quern runs on Node\.js 24 or later.*npx quern.*\n$/);
});

it('every command has help with an example', async () => {
  const { stdout } = await runCli(['--help']);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+)[ |]/gm)]
    .map((match) => match[1]!)
    .filter((name) => !['help', 'quern'].includes(name));
  expect(commands).toEqual(
    expect.arrayContaining(['run', 'inspect', 'tokenize', 'detokenize', 'logits', 'synth', 'quantize']),
  );
  for (const command of commands) {
    const help = await runCli([command, '--help']);
    expect(help.code, command).toBe(0);
    expect(help.stdout, command).toMatch(/Examples?:\n {2}.*quern /);
    expect(help.stdout, command).toMatch(/--json/);
  }
});
