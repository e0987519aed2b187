/** Speed of a GPU backend's kernels: bytes moved, as a percentage of what the same device copies in the same run.
 *
 *   node bench/gpu/kernels.ts [--backend webgpu|gpujs] [--filter TEXT] [--repetitions 7] [--shrink 1]
 *                            [--matmul-precision f32|f16] [--matvec-precision f32|int8] [--json] [--save]
 *
 * A repetition submits as many runs as take about 50 ms, and waits for them once. Software that plays a GPU needs --shrink 16
 * or more; its figures say that the benchmark runs, and nothing about a GPU. */
import { BACKENDS, createBackend } from '../../engine/kernels/backend-registry.ts';
import { measureCopyBandwidth } from '../../engine/kernels/webgpu/copy-bandwidth.ts';
import { WebGpuBackend } from '../../engine/kernels/webgpu/webgpu-backend.ts';
import { readFlags } from '../lib/flags.ts';
import { describeMachine } from '../lib/machine.ts';
import { rounded, saveResults } from '../lib/result-log.ts';
import { gpuCases } from './kernel-cases.ts';

const { values: options } = readFlags(import.meta.filename, {
  backend: { type: 'string', default: 'webgpu' },
  filter: { type: 'string', default: '' },
  repetitions: { type: 'string', default: '7' },
  shrink: { type: 'string', default: '1' },
  'matmul-precision': { type: 'string', default: 'f32' },
  'matvec-precision': { type: 'string', default: 'f32' },
  json: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
});
const repetitions = Math.max(5, Number(options.repetitions));
const shrink = Number(options.shrink);
const TARGET_MS = 50;

const matmulPrecision = options['matmul-precision'] === 'f16' ? 'f16' : 'f32';
const matvecPrecision = options['matvec-precision'] === 'int8' ? 'int8' : 'f32';
const backend = await createBackend(options.backend, BACKENDS, { matmulPrecision, matvecPrecision });
if (!(backend instanceof WebGpuBackend)) throw new Error(`${options.backend} computes on no GPU`);
const gpu = backend;

interface Timing {
  readonly samples: readonly number[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Nanoseconds per run. */
async function time(run: () => void): Promise<Timing> {
  const batch = async (count: number): Promise<number> => {
    const start = performance.now();
    for (let i = 0; i < count; i++) run();
    await gpu.sync();
    return performance.now() - start;
  };
  // The first one compiles.
  await batch(1);
  const count = Math.max(1, Math.min(1000, Math.round(TARGET_MS / (await batch(1)))));
  const samples: number[] = [];
  for (let i = 0; i < repetitions; i++) samples.push(((await batch(count)) * 1e6) / count);
  const sorted = samples.toSorted((a, b) => a - b);
  return { samples, median: sorted[sorted.length >> 1]!, min: sorted[0]!, max: sorted.at(-1)! };
}

const context = { ...describeMachine(), backend: gpu.name, device: gpu.adapterName, features: gpu.features, shrink };
// GB/s, bytes read and written both counted.
const bandwidth = (await measureCopyBandwidth(gpu.gpu, (256 * 1024 * 1024) / shrink)) / 1e9;
if (!options.json) {
  console.log(`${gpu.name} on ${gpu.adapterName}${shrink === 1 ? '' : `, sizes divided by ${shrink}`}`);
  console.log(`copy ${bandwidth.toFixed(1)} GB/s\n`);
}
const records: object[] = [];
for (const { name, make } of gpuCases(shrink)) {
  if (!name.includes(options.filter)) continue;
  const kernelCase = await make(gpu);
  const timing = await time(kernelCase.run);
  const gbPerSecond = kernelCase.bytes / timing.median;
  const gops = kernelCase.operations === undefined ? undefined : kernelCase.operations / timing.median;
  const percentOfCopy = (100 * gbPerSecond) / bandwidth;
  const record = {
    ...context,
    copyGbPerSecond: rounded(bandwidth),
    name,
    gbPerSecond,
    gops,
    percentOfCopy,
    unit: 'ns',
    ...timing,
  };
  records.push(record);
  if (options.json) console.log(JSON.stringify(record));
  else {
    const cells = [
      name.padEnd(36),
      `${(timing.median / 1000).toFixed(1)} us`.padStart(12),
      `${gbPerSecond.toFixed(1)} GB/s`.padStart(13),
      `${percentOfCopy.toFixed(0)} % of copy`.padStart(14),
      gops === undefined ? '' : `${gops.toFixed(0)} GOPS`.padStart(13),
    ];
    console.log(cells.join(''));
  }
  kernelCase.free();
}
await gpu.close();
if (options.save) console.error(`saved in ${saveResults('gpu-kernels', records)}`);
