/** What a step costs in trips to the GPU: one submission with everything in it, whatever is read back of it. */
import { afterEach, describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';
import { type EngineOptions, resolveEngineOptions } from '../../engine/engine-options.ts';
import type { WebGpuBackend } from '../../engine/kernels/webgpu/webgpu-backend.ts';
import { loadEngine } from '../../engine/load-engine.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';

let engine: Engine | undefined;
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

/** An engine, and its backend. */
async function load(options: EngineOptions): Promise<WebGpuBackend> {
  const resolved = resolveEngineOptions(options);
  const loaded = await loadEngine(bundledModelPath('draft'), resolved);
  engine = Reflect.construct(Engine, [loaded, resolved]) as Engine;
  return loaded.model.backend as WebGpuBackend;
}

interface Trips {
  submissions: number;
  readBytes: number[];
}

/** Counts from now on. */
function countTrips({ gpu: { device } }: WebGpuBackend): Trips {
  const trips: Trips = { submissions: 0, readBytes: [] };
  const submit = device.queue.submit.bind(device.queue);
  device.queue.submit = (commands) => {
    trips.submissions++;
    return submit(commands);
  };
  const createEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = (descriptor) => {
    const encoder = createEncoder(descriptor);
    const copy = encoder.copyBufferToBuffer.bind(encoder) as (...args: unknown[]) => undefined;
    encoder.copyBufferToBuffer = (...args: unknown[]) => {
      trips.readBytes.push(args[4] as number);
      return copy(...args);
    };
    return encoder;
  };
  return trips;
}

async function tell(options: GenerateOptions): Promise<void> {
  const stories = ['Once upon', 'A king'].map((prompt) => engine!.generate(prompt, options).result);
  await Promise.all(stories);
}

describe.skipIf(!hasGpu)(`steps on a GPU${gpuSkipNote}`, () => {
  it.each(['webgpu', 'gpujs'])('greedy ones on %s: one submission, and a few bytes come back', async (backend) => {
    const trips = await tripsOf(backend, { temperature: 0 });
    // A token id and its logit for each of two sequences.
    expect(trips).toEqual({ submissions: 8, readBytes: Array(8).fill(16) });
  });

  it.each(['webgpu', 'gpujs'])('sampled ones on %s: one submission, and what the sampler wants', async (backend) => {
    const { submissions, readBytes } = await tripsOf(backend, { temperature: 1, seed: 1, logprobs: 2 });
    expect(submissions).toBe(8);
    expect(readBytes.length).toBeLessThanOrEqual(16);
  });

  it('those that sample a nucleus on webgpu: the best of each row come back, and sums', async () => {
    const { submissions, readBytes } = await tripsOf('webgpu', { temperature: 1, top_p: 0.3, seed: 1 });
    expect(submissions).toBe(8);
    // 128 token ids with their logits, and three numbers for each of four segments of the vocabulary, of each of two sequences.
    const best = 2 * 128 * 8;
    const sums = 2 * 3 * 4 * 4;
    expect(readBytes).toEqual(Array(8).fill([best, sums]).flat());
  });

  /** Of 8 steps with two sequences. */
  async function tripsOf(backend: string, options: GenerateOptions): Promise<Trips> {
    const all = { ...options, max_tokens: 8, ignore_eos: true };
    const gpuBackend = await load({ backend, maxModelLen: 64, maxNumSeqs: 2, enablePrefixCaching: false });
    // Compiles kernels and fills what is kept from step to step.
    await tell(all);
    const trips = countTrips(gpuBackend);
    const { numSteps } = engine!.stats();
    await tell(all);
    expect(engine!.stats().numSteps - numSteps).toBe(8);
    return trips;
  }
});
