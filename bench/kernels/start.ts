/** How long an engine waits for its kernels, and for what: each sample in a process of its own, as V8 is slowest at first.
 *
 *   node bench/kernels/start.ts [--json] [--samples N]
 *
 * generate: TypeScript puts the bytes together; compile: V8 optimizes them, on all cores; test: every kernel runs both ways. */
import { execFileSync } from 'node:child_process';
import { percentile } from '../../cli/statistics.ts';
import { buildModule } from '../../engine/kernels/wasm/emitter/module-builder.ts';
import { KernelLibrary } from '../../engine/kernels/wasm/kernel-library.ts';
import type { KernelSet } from '../../engine/kernels/wasm/kernel-module.ts';
import { differingKernels } from '../../engine/kernels/wasm/kernel-self-test.ts';
import { ALL_SETS, kernelFunctions } from '../../engine/kernels/wasm/kernel-sets.ts';
import { withV8Flags } from '../../engine/kernels/wasm/v8-flags.ts';
import { WebAssemblyApi } from '../../engine/kernels/wasm/web-assembly.ts';
import { readFlags } from '../lib/flags.ts';
import { describeMachine } from '../lib/machine.ts';
import { rounded } from '../lib/result-log.ts';

const { values: options } = readFlags(import.meta.filename, {
  json: { type: 'boolean', default: false },
  samples: { type: 'string', default: '9' },
  child: { type: 'string' },
});

const BASE: readonly KernelSet[] = ['common', 'pages f32'];
const MODELS: Readonly<Record<string, readonly KernelSet[]>> = {
  Q4_0: [...BASE, 'weights q4_0'],
  Q8_0: [...BASE, 'weights q8_0'],
  'Q4_0, f16 KV': [...BASE, 'pages f16', 'weights q4_0'],
  Q4_K_M: [...BASE, 'weights q4_k', 'weights q6_k'],
  everything: ALL_SETS,
};
const PHASES = ['total', 'generate', 'compile', 'test'] as const;
type Sample = Readonly<Record<(typeof PHASES)[number], number>>;

const FLAGS = ['--no-liftoff', '--no-wasm-lazy-compilation', '--experimental-wasm-revectorize'];

function timed<T>(work: () => T): readonly [T, number] {
  const start = performance.now();
  return [work(), performance.now() - start];
}

/** The whole as the engine does it, or its parts one by one: V8 would remember the one for the other. */
function takeSample(sets: readonly KernelSet[], inParts: boolean): Partial<Sample> {
  const library = new KernelLibrary();
  if (!inParts) return { total: timed(() => library.provide(sets))[1] };
  const features = { relaxed: library.relaxed.used, isPaired: true };
  const [[fused, plain], generate] = timed(() => {
    const functions = kernelFunctions(sets, features);
    return [buildModule(functions, 'fused'), buildModule(functions, 'plain')] as const;
  });
  const [module, compile] = timed(() => withV8Flags(FLAGS, () => new WebAssemblyApi.Module(fused)));
  const [, test] = timed(() => differingKernels(module, new WebAssemblyApi.Module(plain)));
  return { generate, compile, test };
}

function inChild(model: string, part: 'whole' | 'parts'): Partial<Sample> {
  const output = execFileSync(process.execPath, [import.meta.filename, '--child', `${part} ${model}`]);
  return JSON.parse(output.toString()) as Partial<Sample>;
}

const median = (values: readonly number[]): number => percentile(values, 50);

if (options.child !== undefined) {
  const [part, ...model] = options.child.split(' ');
  console.log(JSON.stringify(takeSample(MODELS[model.join(' ')]!, part === 'parts')));
} else {
  const numSamples = Math.max(5, Number(options.samples));
  const samples = new Map(Object.keys(MODELS).map((model) => [model, [] as Sample[]]));
  for (let i = 0; i < numSamples; i++) {
    for (const [model, taken] of samples) {
      taken.push({ ...inChild(model, 'whole'), ...inChild(model, 'parts') } as Sample);
    }
  }
  if (!options.json)
    console.log(`${'ms, median (best)'.padEnd(18)}${PHASES.map((phase) => phase.padStart(16)).join('')}`);
  for (const [model, taken] of samples) {
    const of = (phase: keyof Sample) => taken.map((sample) => sample[phase]);
    const best = (phase: keyof Sample) => Math.min(...of(phase));
    if (options.json) {
      const figures = PHASES.map((phase) => [phase, { median: rounded(median(of(phase))), min: rounded(best(phase)) }]);
      const date = new Date().toISOString().slice(0, 10);
      console.log(
        JSON.stringify({
          benchmark: 'kernel start',
          ...describeMachine(),
          date,
          model,
          ...Object.fromEntries(figures),
        }),
      );
    } else {
      const cells = PHASES.map((phase) => `${median(of(phase)).toFixed(0)} (${best(phase).toFixed(0)})`.padStart(16));
      console.log(model.padEnd(18) + cells.join(''));
    }
  }
}
