/** A GPU that is lost while an engine uses it: the promised errors or a move to the CPU, and an engine that goes on. */
import { copyFile, rename } from 'node:fs/promises';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';
import type { EngineOptions } from '../../engine/engine-options.ts';
import { DeviceLostError, EngineClosedError, FileAccessError, OutOfMemoryError } from '../../engine/errors.ts';
import { WebGpuBackend } from '../../engine/kernels/webgpu/webgpu-backend.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import { EngineHarness, holdNextStep } from '../helpers/engine-harness.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';
import { rejection } from '../helpers/rejection.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const OPTIONS: GenerateOptions = { max_tokens: 8, temperature: 0, ignore_eos: true };
const PROMPTS = ['Once upon a time', 'The fox said', 'A king had a'];

describe.skipIf(!hasGpu)(`an engine whose GPU is lost${gpuSkipNote}`, () => {
  /** What the reference says. */
  let expected: string[];
  let harness: EngineHarness;
  const path = (): string => folder.at('model.gguf');
  const load = async (options: EngineOptions = {}): Promise<void> => {
    harness = await EngineHarness.load(path(), { backend: 'webgpu', maxModelLen: 64, maxNumSeqs: 2, ...options });
  };
  const destroyDevice = (): Promise<unknown> => {
    const { device } = (harness.backend as WebGpuBackend).gpu;
    device.destroy();
    return device.lost;
  };
  const textOf = async (prompt: string): Promise<string> =>
    (await harness.engine.generate(prompt, OPTIONS).result).text;

  beforeAll(async () => {
    await copyFile(bundledModelPath('draft'), path());
    await load({ backend: 'reference' });
    expected = await Promise.all(PROMPTS.map(textOf));
    await harness.close();
  });
  afterEach(() => harness.engine.close());

  it('fails the requests that run, and answers those that wait on a new device', async () => {
    await load();
    harness.onStep = (_batch, stepIndex) => {
      if (stepIndex === 4) void destroyDevice();
    };
    const settled = await Promise.allSettled(PROMPTS.map(textOf));
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    for (const outcome of settled.slice(0, 2)) {
      expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(DeviceLostError);
    }
    expect((settled[2] as PromiseFulfilledResult<string>).value).toBe(expected[2]);
    expect(await Promise.all(PROMPTS.map(textOf))).toEqual(expected);
    expect(harness.engine.stats()).toMatchObject({ backend: 'webgpu', numDeviceLosses: 1, numRunning: 0 });
    expect(harness.findLeak()).toBeUndefined();
  });

  it("with onDeviceLoss 'cpu', finishes the requests that run on the CPU", async () => {
    await load({ onDeviceLoss: 'cpu', numThreads: 1 });
    harness.onStep = (_batch, stepIndex) => {
      if (stepIndex === 4) void destroyDevice();
    };
    const score = harness.engine.score('The wolf and the seven little goats');
    expect(await Promise.all(PROMPTS.map(textOf))).toEqual(expected);
    expect((await score).logprobs).toHaveLength((await score).tokenIds.length - 1);
    const { backend, numDeviceLosses, numThreads } = harness.engine.stats();
    expect({ backend, numDeviceLosses, numThreads }).toEqual({ backend: 'wasm', numDeviceLosses: 1, numThreads: 1 });
    expect(harness.findLeak()).toBeUndefined();
  });

  it('notices before the next step when the device went while nothing ran, and fails nobody', async () => {
    await load();
    expect(await textOf(PROMPTS[0]!)).toBe(expected[0]);
    await destroyDevice();
    // The first request's blocks are gone: finding them would give nonsense.
    expect(await Promise.all(PROMPTS.map(textOf))).toEqual(expected);
    expect(harness.engine.stats().numDeviceLosses).toBe(1);
  });

  it('says why when the model cannot be loaded again, and tries again for the next request', async () => {
    await load();
    await destroyDevice();
    await rename(path(), `${path()}.away`);
    const error = await rejection(textOf(PROMPTS[0]!));
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error).toMatchObject({
      cause: expect.any(FileAccessError),
      message: expect.stringContaining('loaded again'),
    });
    await rename(`${path()}.away`, path());
    expect(await textOf(PROMPTS[0]!)).toBe(expected[0]);
    expect(harness.findLeak()).toBeUndefined();
  });

  it('is not loaded at all when the GPU has no room for its cache, and says so', async () => {
    await load({ backend: 'reference' });
    const sync = vi
      .spyOn(WebGpuBackend.prototype, 'sync')
      .mockRejectedValueOnce(new OutOfMemoryError('kv', 1, 'no room'));
    const close = vi.spyOn(WebGpuBackend.prototype, 'close');
    expect(await rejection(Engine.load(path(), { backend: 'webgpu' }))).toBeInstanceOf(OutOfMemoryError);
    expect(close).toHaveBeenCalled();
    for (const spy of [sync, close]) spy.mockRestore();
  });

  it('closes while the model is loaded again', async () => {
    await load();
    const { reached, release } = holdNextStep(harness);
    const answers = PROMPTS.map((prompt) => rejection(textOf(prompt)));
    await reached;
    await destroyDevice();
    release();
    // The two that ran have failed, the third has set off the reload.
    await Promise.all(answers.slice(0, 2));
    await harness.engine.close();
    expect(await answers[2]).toBeInstanceOf(EngineClosedError);
    expect(harness.findLeak()).toBeUndefined();
  });
});
