/** What a decoded token costs the thread that embeds the engine when a GPU computes.
 *
 *   node bench/gpu/host-cost.ts [--model FILE] [--backend webgpu] [--steps 200] [--layers 16] [--sequences 1] [--json]
 *                              [--save] [--note 'nothing else ran']
 *
 * Without --model, a model of 16 layers is made up whose matrices are so small that the GPU, or the software that plays one, has
 * next to nothing to do: the number of commands is that of a real model, and so is the time to record them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebGpuBackend } from '../../engine/kernels/webgpu/webgpu-backend.ts';
import { resolveShape } from '../../engine/synth/model-shape.ts';
import { writeSyntheticModel } from '../../engine/synth/write-synthetic-model.ts';
import { withEventLoopDelay } from '../lib/event-loop.ts';
import { readFlags } from '../lib/flags.ts';
import { describeMachine } from '../lib/machine.ts';
import { saveResults } from '../lib/result-log.ts';
import { openDecodeLoop } from './decode-loop.ts';

const { values: options } = readFlags(import.meta.filename, {
  model: { type: 'string' },
  backend: { type: 'string', default: 'webgpu' },
  steps: { type: 'string', default: '200' },
  layers: { type: 'string', default: '16' },
  sequences: { type: 'string', default: '1' },
  json: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
  note: { type: 'string' },
});
const numSteps = Number(options.steps);
const WARM_UP = 50;

const folder = await mkdtemp(join(tmpdir(), 'quern-host-cost-'));
try {
  const path = options.model ?? join(folder, 'model.gguf');
  if (options.model === undefined) {
    const shape = resolveShape('tiny', { numLayers: Number(options.layers), contextLength: numSteps + WARM_UP });
    await writeSyntheticModel(path, shape, { type: 'q4_0', seed: 1 });
  }
  await measure(path);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function measure(path: string): Promise<void> {
  const numSeqs = Number(options.sequences);
  const loop = await openDecodeLoop(path, { backend: options.backend, numSeqs, maxSteps: numSteps + WARM_UP });
  const counts = () => (loop.backend instanceof WebGpuBackend ? loop.backend.commandCounts : undefined);
  for (let i = 0; i < WARM_UP; i++) await loop.step();
  const before = counts();
  const recorded: number[] = [];
  const { result: wholeMs, delay } = await withEventLoopDelay(async () => {
    const start = performance.now();
    for (let i = 0; i < numSteps; i++) recorded.push((await loop.step()).recordedMs);
    return performance.now() - start;
  });
  const after = counts();
  const perStep = Object.fromEntries(
    Object.entries(after ?? {}).map(([name, count]) => [
      name,
      (count - before![name as keyof typeof before]) / numSteps,
    ]),
  );
  recorded.sort((a, b) => a - b);
  const at = (share: number): number => recorded[Math.min(numSteps - 1, Math.floor(share * numSteps))]!;
  const device = loop.backend instanceof WebGpuBackend ? loop.backend.adapterName : 'host';
  const figures = { medianMs: at(0.5), minMs: at(0), p99Ms: at(0.99), stepMs: wholeMs / numSteps };
  await loop.close();
  const { backend, note } = options;
  const record = { ...describeMachine(), backend, device, numSteps, numSeqs, perStep, ...figures, delay, note };
  if (options.save) console.error(`saved in ${saveResults('gpu-host-cost', [record])}`);
  if (options.json) {
    console.log(JSON.stringify(record));
    return;
  }
  const ms = (value: number): string => `${value.toFixed(2)} ms`;
  console.log(`${options.backend} on ${device}, ${numSteps} steps of ${numSeqs} tokens`);
  console.log(
    `per step       ${Object.entries(perStep)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ')}`,
  );
  console.log(`recording      median ${ms(figures.medianMs)}, lowest ${ms(figures.minMs)}, p99 ${ms(figures.p99Ms)}`);
  console.log(`whole step     mean ${ms(figures.stepMs)}, the GPU's work included`);
  console.log(
    `event loop     p50 ${ms(delay.p50Ms)}, p99 ${ms(delay.p99Ms)}, largest ${ms(delay.maxMs)} between two ticks of 10 ms; ` +
      `of its own doing ${ms(delay.ownMaxMs)} at most`,
  );
}
