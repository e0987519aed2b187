/** Threads that die while weights load: the load fails, and does not wait for ever. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { WorkerCrashedError } from '../../../engine/errors.ts';
import { WasmBackend } from '../../../engine/kernels/wasm/wasm-backend.ts';
import { StepWorkers } from '../../../engine/runner/step-workers.ts';

let backend: WasmBackend;
let workers: StepWorkers;
beforeEach(() => {
  backend = new WasmBackend();
  workers = new StepWorkers(2);
  workers.attach(backend);
});
afterEach(async () => {
  await workers.close();
  await backend.close();
});

/** Values of a matrix that is packed by `workers`. */
async function load(): Promise<Float32Array> {
  const source = Float32Array.from({ length: 19 * 40 }, (_, i) => i / 8);
  const read = async (start: number, target: Uint8Array) => {
    target.set(new Uint8Array(source.buffer, start, target.length));
  };
  const weight = await backend.loadWeight('f32', [19, 40], read, { offload: workers.offload });
  expect(await backend.download(weight)).toEqual(source);
  return source;
}

it('packs weights, many at a time, before any model is known', async () => {
  await Promise.all(Array.from({ length: 12 }, load));
});

it('can be closed while threads load their code', async () => {
  const outcome = expect(load()).rejects.toBeInstanceOf(WorkerCrashedError);
  await workers.close();
  await outcome;
  expect(workers.threads).toHaveLength(0);
});

it.each(['before they are ready', 'when they are ready'])('all threads die %s', async (when) => {
  if (when === 'when they are ready') await load();
  const killed = Promise.all(workers.threads.map((thread) => thread.terminate()));
  const outcomes = await Promise.allSettled(Array.from({ length: 6 }, load));
  await killed;
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(WorkerCrashedError);
  }
  // The pool has healed.
  await load();
});

it('closed while its threads are taken down, as they could not attach, starts none again', async () => {
  await load();
  const started = workers.threads;
  workers.attach({ name: 'wasm', attachment: { memories: [{}] } } as unknown as WasmBackend);
  const attaching = workers.offload({}).catch(() => {});
  while (workers.threads.length > 0) await new Promise(setImmediate);
  await workers.close();
  await attaching;
  await Promise.all([...started].map((thread) => thread.terminate()));
  await new Promise(setImmediate);
  expect(workers.threads).toHaveLength(0);
});
