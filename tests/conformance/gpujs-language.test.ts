/** The language that kernels are written in means the same on a GPU as in JavaScript: everything that the guards let
 * through, compiled by gpu.js, against the same function as JavaScript runs it. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GpuOpTarget } from '../../engine/kernels/gpujs/gpu-op-target.ts';
import { KernelCompiler } from '../../engine/kernels/gpujs/kernel-compiler.ts';
import type { KernelSource, KernelThread, Vector } from '../../engine/kernels/gpujs/kernel-source.ts';
import { MAX_DIVIDEND } from '../../engine/kernels/gpujs/limits.ts';
import { loadGpujs } from '../../engine/kernels/gpujs/load-gpujs.ts';
import { CommandRecorder } from '../../engine/kernels/webgpu/command-recorder.ts';
import { PLAIN_ABILITIES } from '../../engine/kernels/webgpu/gpu-abilities.ts';
import { findAdapter } from '../../engine/kernels/webgpu/gpu-adapter.ts';
import { GpuDevice } from '../../engine/kernels/webgpu/gpu-device.ts';
import { GpuMemory } from '../../engine/kernels/webgpu/gpu-memory.ts';
import { KernelLibrary } from '../../engine/kernels/webgpu/op-context.ts';
import { ScratchBuffers } from '../../engine/kernels/webgpu/scratch-buffers.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';
import { runThreads } from '../helpers/plain-kernels.ts';

const THREADS = 96;
const LENGTH = 64;

/** Whole numbers: as f32s, indices, and in fractions that a whole number would lose. */
function arithmetic(this: KernelThread, a: Vector, n: number): number {
  const x = this.thread.x;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const half = i / 2;
    sum += half * 0.25 + a[i]! - x / 4;
  }
  sum -= n / 8;
  sum *= 0.5;
  return -sum + x * n;
}

function bits(this: KernelThread, a: Vector, n: number): number {
  const x = this.thread.x;
  const word = (x << 3) | (n & 7);
  let mixed = (word ^ 21) >> 1;
  mixed = mixed + 0.5;
  return mixed + (x & 15) * a[x >> 1]!;
}

function branches(this: KernelThread, a: Vector, n: number): number {
  const x = this.thread.x;
  const isSmall = x < n;
  let result = 1.5;
  if (isSmall && (a[x >> 1]! > 0 || x === 3)) {
    result = 2;
  } else if (!isSmall || a[0]! <= a[1]!) {
    result = -0.25;
  } else {
    if (x !== 5) {
      result = a[2]!;
    }
  }
  return result;
}

function loops(this: KernelThread, a: Vector, n: number): number {
  let found = -1;
  let rounds = 0;
  for (let i = 0; i < n; i++) {
    if (a[i]! > 0.5) {
      found = i;
      break;
    }
    for (let j = 0; j < 3; j++) {
      let inner = 0;
      inner += j;
      rounds += inner;
    }
  }
  for (let k = 0; k < 4; k++) {
    if (k > this.thread.x) {
      return found * 100 + rounds + 0.5;
    }
  }
  return found + rounds / 1000;
}

function functions(this: KernelThread, a: Vector, n: number): number {
  const value = a[this.thread.x >> 1]!;
  const rough = Math.exp(value) + Math.log(1.5 + value) + Math.sqrt(Math.abs(value));
  return rough + Math.floor(value * 8) + Math.ceil(value * 4) + Math.max(value, 0.1) + Math.min(value, n);
}

/** A loop of more rounds than gpu.js makes unless it is told. */
function manyRounds(this: KernelThread, a: Vector, n: number): number {
  let sum = 0;
  for (let i = 0; i < 5000; i++) {
    sum += a[i & 63]! * 0.0001;
  }
  return sum + n;
}

const KERNELS = [arithmetic, bits, branches, loops, functions, manyRounds];

function divide(this: KernelThread, dividends: Vector, divisors: Vector): number {
  const x = this.thread.x;
  return Math.floor((dividends[x]! + 0.5) / divisors[x]!);
}

describe.skipIf(!hasGpu)(`on a GPU${gpuSkipNote}`, () => {
  let gpu: GpuDevice;
  let recorder: CommandRecorder;
  let memory: GpuMemory;
  let target: GpuOpTarget;

  beforeAll(async () => {
    const found = await findAdapter();
    if (typeof found === 'string') throw new Error(found);
    gpu = await GpuDevice.open(found.gpu, found.adapter);
    recorder = new CommandRecorder(gpu);
    memory = new GpuMemory('language', gpu, recorder);
    const [library, scratch] = [new KernelLibrary(), new ScratchBuffers()];
    const context = { memory, recorder, library, scratch, abilities: PLAIN_ABILITIES, workgroupBytes: 0 };
    target = new GpuOpTarget(context, new KernelCompiler(await loadGpujs()));
  });
  afterAll(async () => {
    memory?.releaseAll();
    recorder?.close();
    await gpu?.close();
  });

  /** What the GPU makes of it, and what JavaScript does. */
  async function both(
    source: KernelSource,
    inputs: Readonly<Record<string, Float32Array | Int32Array | number>>,
    numThreads: number,
  ): Promise<readonly [actual: Float32Array, expected: Float32Array]> {
    const [onGpu, onHost]: Record<string, never>[] = [{}, {}];
    for (const [name, value] of Object.entries(inputs)) {
      if (typeof value === 'number') {
        Object.assign(onGpu!, { [name]: value });
        Object.assign(onHost!, { [name]: value });
        continue;
      }
      const tensor = memory.allocate(value instanceof Int32Array ? 'i32' : 'f32', [value.length], 'scratch');
      const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      recorder.write(memory.plainBuffer(name, tensor), 0, bytes);
      Object.assign(onGpu!, { [name]: target.view(tensor, [value.length]) });
      Object.assign(onHost!, { [name]: { buffer: value.buffer, dims: [value.length], start: 0 } });
    }
    const out = memory.allocate('f32', [numThreads], 'scratch');
    const [actual, expected] = [new Float32Array(numThreads), new Float32Array(numThreads)];
    target.run(source, { inputs: onGpu!, out: target.view(out, [numThreads]), threads: [numThreads] });
    await recorder.read(memory.plainBuffer('out', out), 0, new Uint8Array(actual.buffer));
    const hostOut = { buffer: expected.buffer, dims: [numThreads], start: 0 };
    runThreads(source, { inputs: onHost!, out: hostOut, threads: [numThreads] });
    memory.releaseAll();
    return [actual, expected];
  }

  it.each(KERNELS.map((kernel) => [kernel.name, kernel] as const))('%s means the same', async (_, kernel) => {
    const source: KernelSource = { kernel, parameters: { a: 'f32', n: 'integer' }, result: 'element' };
    // A GPU may take numbers below 2^-126 for 0.
    const value = fc.float({ min: -1, max: 1, noNaN: true }).map((x) => (Math.abs(x) < 2 ** -126 ? 0 : x));
    const values = fc.array(value, { minLength: LENGTH, maxLength: LENGTH });
    await fc.assert(
      fc.asyncProperty(values, fc.integer({ min: 0, max: LENGTH }), async (list, n) => {
        const [actual, expected] = await both(source, { a: Float32Array.from(list), n }, THREADS);
        for (const [i, value] of expected.entries()) {
          const error = Math.abs(actual[i]! - value) / Math.max(1, Math.abs(value));
          if (!(error <= 1e-5)) expect.fail(`thread ${i}: ${actual[i]}, expected ${value}`);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('whole numbers are divided exactly, up to what the guards let through', async () => {
    const source: KernelSource = {
      kernel: divide,
      parameters: { dividends: 'i32', divisors: 'i32' },
      result: 'element',
    };
    const pair = fc.tuple(fc.integer({ min: 0, max: MAX_DIVIDEND }), fc.integer({ min: 1, max: 5000 }), fc.boolean());
    await fc.assert(
      fc.asyncProperty(fc.array(pair, { minLength: 1000, maxLength: 1000 }), async (pairs) => {
        // Multiples of the divisor are where a division that is a little off shows.
        const dividends = Int32Array.from(pairs, ([a, b, isMultiple]) => (isMultiple ? a - (a % b) : a));
        const divisors = Int32Array.from(pairs, ([, b]) => b);
        const [actual] = await both(source, { dividends, divisors }, pairs.length);
        expect([...actual]).toEqual(pairs.map((_, i) => Math.floor(dividends[i]! / divisors[i]!)));
      }),
      { numRuns: 10 },
    );
  });
});
