import { describe, expect, it } from 'vitest';
import { InvalidArgumentError, UnsupportedError } from '../../../engine/errors.ts';
import {
  type BackendEntry,
  createBackend,
  type ProbeResult,
  probeBackends,
} from '../../../engine/kernels/backend-registry.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';

function entry(name: string, result: ProbeResult | Error): BackendEntry {
  return {
    name,
    probe: async () => {
      if (result instanceof Error) throw result;
      return result;
    },
    create: async () => Object.defineProperty(new ReferenceBackend(), 'name', { value: name }),
  };
}

const missing = entry('gpu', { available: false, reason: 'no adapter' });
const crashing = entry('wasm', new Error('no SIMD'));
const fast = entry('fast', { available: true });
const slow = entry('slow', { available: true });

describe('createBackend', () => {
  it.each([
    ['reference', 'reference'],
    ['wasm', 'wasm'],
    ['auto', 'wasm'],
    [undefined, 'wasm'],
  ])('%s makes the %s backend', async (name, expected) => {
    const backend = await createBackend(name);
    expect(backend.name).toBe(expected);
    await backend.close();
  });

  it('refuses an unknown name and lists the known ones', async () => {
    await expect(createBackend('cuda')).rejects.toThrow(InvalidArgumentError);
    await expect(createBackend('cuda')).rejects.toThrow(
      'must be one of auto, wasm, reference, webgpu, gpujs; got cuda',
    );
  });

  it("takes the first available one for 'auto'", async () => {
    expect((await createBackend('auto', [missing, crashing, fast, slow])).name).toBe('fast');
  });

  it('says why the one asked for cannot run, and does not replace it', async () => {
    await expect(createBackend('gpu', [missing, fast])).rejects.toThrow(UnsupportedError);
    await expect(createBackend('gpu', [missing, fast])).rejects.toThrow('gpu: no adapter');
    await expect(createBackend('auto', [missing, crashing])).rejects.toThrow('gpu: no adapter; wasm: no SIMD');
  });
});

describe('probeBackends', () => {
  it('reports each backend, and a probe that throws as a reason', async () => {
    expect(await probeBackends([missing, crashing, fast])).toEqual([
      { name: 'gpu', available: false, reason: 'no adapter' },
      { name: 'wasm', available: false, reason: 'no SIMD' },
      { name: 'fast', available: true },
    ]);
  });
});
