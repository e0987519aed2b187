/** The command of an installed package, in the forms that scripts rely on: from no file at all to a model, to another type,
 * to token ids and back, to logits. */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export type Check = (condition: boolean, what: string) => void;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param quern   the command as npm installed it
 * @param folder  an empty one to work in */
export function checkCommands(quern: string, folder: string, check: Check): void {
  const run = (args: string, input = ''): Ended => {
    const { status, stdout, stderr } = spawnSync(quern, args.split(' '), { cwd: folder, input, encoding: 'utf8' });
    return { code: status, stdout, stderr };
  };
  checkModels(run, folder, check);
  checkLogits(run, folder, check);
  checkTokens(run, check);
  checkRefusals(run, check);
}

type Run = (args: string, input?: string) => Ended;

function checkModels(run: Run, folder: string, check: Check): void {
  const synth = run('synth --shape tiny --type q4_0 --seed 1 tiny.gguf');
  const magic = readFileSync(join(folder, 'tiny.gguf')).toString('latin1', 0, 4);
  check(synth.code === 0 && magic === 'GGUF', 'synth writes a model');
  const quantize = run('quantize tiny.gguf tiny-q8_0.gguf --type q8_0 --json');
  check((JSON.parse(quantize.stdout) as { type: string }).type === 'q8_0', 'quantize converts it');
  const report = JSON.parse(run('inspect tiny-q8_0.gguf --json').stdout) as { format: string; numTensors: number };
  check(report.format === 'GGUF v3' && report.numTensors === 20, 'inspect reads it');
}

function checkLogits(run: Run, folder: string, check: Check): void {
  const args = 'logits --model tiny.gguf --tokens 1,403,407 --generate 2 --backend reference --kv-dtype f32';
  const { stdout } = run(`${args} --out rows.f32 --json`);
  const { tokens, vocabSize } = JSON.parse(stdout) as { tokens: number[]; vocabSize: number };
  const numRows = statSync(join(folder, 'rows.f32')).size / (4 * vocabSize);
  check(tokens.length === 2 && numRows === 5, 'logits prints 2 greedy ids and writes 5 rows');
}

function checkTokens(run: Run, check: Check): void {
  const texts = '"Once upon a time"\n"<|endoftext|> żółw 🦙\\n"\n""\n';
  const ids = run('tokenize --jsonl', texts);
  const lines = ids.stdout.split('\n');
  check(lines.length === 4 && lines.slice(0, 3).every((line) => /^\[[\d,]*\]$/.test(line)), 'tokenize --jsonl');
  check(run('detokenize --jsonl', ids.stdout).stdout === texts, 'detokenize --jsonl gives the texts back');
  const special = run('tokenize --jsonl --add-special --parse-special', '"<|endoftext|>"\n').stdout;
  check(special === '[0,0]\n', '--add-special and --parse-special');
}

function checkRefusals(run: Run, check: Check): void {
  const missing = run('run --model no-such.gguf x');
  check(
    missing.code === 3 && missing.stderr === 'quern: no-such.gguf: no such file\n',
    'a missing model is exit code 3',
  );
  const unknown = run('run --temprature 1 x');
  check(unknown.code === 2 && unknown.stdout === '', 'an unknown option is exit code 2');
}
