/** The test that half-precision tiles must pass on a device before a model is computed with them: a small matmul, compared
 * with its result in f64. How the threads of a subgroup share a matrix is the driver's business, and no specification's yet. */
import { numElements } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { Rng } from '../../util/rng.ts';
import { CommandRecorder } from './command-recorder.ts';
import { type GpuAbilities, PLAIN_ABILITIES } from './gpu-abilities.ts';
import type { GpuDevice } from './gpu-device.ts';
import { GpuMemory } from './gpu-memory.ts';
import { KernelLibrary } from './op-context.ts';
import { matmul } from './ops/matmul.ts';
import { ScratchBuffers } from './scratch-buffers.ts';

/** More than one tile each way, the last ones in part, and three groups. */
const [T, N, K] = [70, 67, 96];

/** Of results whose root mean square is sqrt(K) / 3: f16 has 11 bits. */
const TOLERANCE = 0.01;

/** @returns what is wrong */
export async function testTileProducts(
  gpu: GpuDevice,
  tileProducts: GpuAbilities['tileProducts'],
): Promise<string | undefined> {
  const recorder = new CommandRecorder(gpu);
  const memory = new GpuMemory('matmul test', gpu, recorder);
  const random = (seed: number, shape: readonly [number, number]): { values: Float32Array; tensor: Tensor } => {
    const rng = Rng.fromSeed(seed);
    const values = Float32Array.from({ length: numElements(shape) }, () => 2 * rng.nextFloat() - 1);
    const tensor = memory.allocate('f32', shape, 'scratch');
    recorder.write(memory.plainBuffer('matmul test', tensor), 0, new Uint8Array(values.buffer));
    return { values, tensor };
  };
  try {
    const [x, weight] = [random(1, [T, K]), random(2, [N, K])];
    const out = memory.allocate('f32', [T, N], 'scratch');
    const context = {
      memory,
      recorder,
      library: new KernelLibrary(),
      scratch: new ScratchBuffers(),
      abilities: { ...PLAIN_ABILITIES, tileProducts, minTokensOfTile: 1 },
      workgroupBytes: gpu.limits.maxComputeWorkgroupStorageSize,
    };
    matmul(context, { x: x.tensor, weight: weight.tensor, out });
    const result = new Float32Array(T * N);
    await recorder.read(memory.plainBuffer('matmul test', out), 0, new Uint8Array(result.buffer));
    return worstOf(result, x.values, weight.values);
  } catch (error) {
    gpu.expectAlive();
    return error instanceof Error ? error.message : String(error);
  } finally {
    memory.releaseAll();
    recorder.close();
  }
}

function worstOf(result: Float32Array, x: Float32Array, weight: Float32Array): string | undefined {
  for (let t = 0; t < T; t++) {
    for (let n = 0; n < N; n++) {
      let expected = 0;
      for (let k = 0; k < K; k++) expected += x[t * K + k]! * weight[n * K + k]!;
      const actual = result[t * N + n]!;
      if (Math.abs(actual - expected) <= (TOLERANCE * Math.sqrt(K)) / 3) continue;
      return `a matmul gave ${actual} where ${expected} is right`;
    }
  }
  return undefined;
}
