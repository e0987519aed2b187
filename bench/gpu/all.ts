/** Everything that there is to measure on a GPU, in one go, on a machine that has one:
 *
 *   node bench/gpu/all.ts [--folder DIR] [--shape llama-3.2-1b --shape llama-3.1-8b] [--type q4_0 --type q8_0 --type f16]
 *                         [--shrink 1] [--note 'nothing else ran']
 *
 * Kernels go to `bench/results/gpu-kernels.jsonl`, the caller's thread to `gpu-host-cost.jsonl`, models to
 * `gpu-models.jsonl`. Models of random weights are made up in `--folder` (default: .cache/models in the
 * checkout) and kept there: 16 GB for the largest. Whether the kernels are right is not asked here: `npm run test:gpu -- --adapter hardware`. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { readFlags } from '../lib/flags.ts';
import { describeMachine } from '../lib/machine.ts';
import { saveResults } from '../lib/result-log.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const QUERN = join(CHECKOUT, 'bin/quern.js');

const { values: options } = readFlags(import.meta.filename, {
  folder: { type: 'string', default: join(CHECKOUT, '.cache/models') },
  shape: { type: 'string', multiple: true, default: ['llama-3.2-1b', 'llama-3.1-8b'] },
  type: { type: 'string', multiple: true, default: ['q4_0', 'q8_0', 'f16'] },
  shrink: { type: 'string', default: '1' },
  note: { type: 'string', default: '' },
});

/** As options of `quern bench`: what is lost in f16 and int8 is in docs/webgpu.md. */
const PRECISIONS: readonly (readonly string[])[] = [[], ['--matmul-precision', 'f16', '--matvec-precision', 'int8']];

/** @throws Error when the command fails */
function node(args: readonly string[], wantsOutput = false): string {
  console.error(`\nnode ${args.join(' ')}`);
  const stdout = wantsOutput ? 'pipe' : 'inherit';
  const result = spawnSync(process.execPath, args, { cwd: CHECKOUT, stdio: ['ignore', stdout, 'inherit'] });
  if (result.status !== 0) throw new Error(`node ${args.join(' ')} ended with ${result.status ?? result.signal}`);
  return wantsOutput ? result.stdout.toString() : '';
}

function benchModel(shape: string, type: string): void {
  const path = join(options.folder, `${shape}-${type}.gguf`);
  if (!existsSync(path)) node([QUERN, 'synth', '--shape', shape, '--type', type, '--pure', path]);
  for (const precision of PRECISIONS) {
    const args = [QUERN, 'bench', '--backend', 'webgpu', '--model', path, '--batch', '1,16', ...precision, '--json'];
    const lines = node(args, true).trimEnd().split('\n');
    const { commit } = describeMachine();
    const records = lines.map((line) => ({ commit, note: options.note, ...(JSON.parse(line) as object) }));
    saveResults('gpu-models', records);
    for (const line of lines) console.log(line);
  }
}

mkdirSync(options.folder, { recursive: true });
node([QUERN, 'doctor']);
for (const precision of [[], ['--matmul-precision', 'f16'], ['--matvec-precision', 'int8']]) {
  node(['bench/gpu/kernels.ts', '--shrink', options.shrink, '--save', ...precision]);
}
for (const backend of ['webgpu', 'gpujs']) {
  node(['bench/gpu/host-cost.ts', '--backend', backend, '--save', '--note', options.note]);
}
for (const shape of options.shape) for (const type of options.type) benchModel(shape, type);
