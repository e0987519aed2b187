/** Sums over the 32 lanes of a team by exchange within a subgroup, and the test that a device must pass before kernels use
 * it: WGSL does not promise that threads lie in subgroups in their order, or that a subgroup is as large as a team. */
import type { FeatureState } from '../kernel-backend.ts';
import { CommandRecorder } from './command-recorder.ts';
import type { GpuDevice } from './gpu-device.ts';
import { GpuMemory } from './gpu-memory.ts';

/** Threads that share a sum. */
export const LANES = 32;

/** Declares `fn add_lanes(own: f32) -> f32`: at each step a lane adds what the lane at `xor stride` has, so all end with the
 * same sum. Written out, as the order of `subgroupAdd` is the driver's. Needs `enable subgroups`. */
export const ADD_LANES_CODE = /* wgsl */ `
fn add_lanes(own: f32) -> f32 {
  var sum = own;
${[16, 8, 4, 2, 1].map((stride) => `  sum += subgroupShuffleXor(sum, ${stride}u);`).join('\n')}
  return sum;
}
`;

const TEAMS = 4;

const TEST_CODE = /* wgsl */ `enable subgroups;
@group(0) @binding(0) var<storage, read_write> output: array<f32>;
${ADD_LANES_CODE}
@compute @workgroup_size(${LANES}, ${TEAMS})
fn main(@builtin(local_invocation_id) thread: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  output[index] = add_lanes(f32(thread.x * thread.x + thread.y * 1000u));
}
`;

/** Runs the sum once on numbers whose sum is known.
 * @returns that it may be used, or why not */
export async function checkSubgroups(gpu: GpuDevice): Promise<FeatureState> {
  if (!gpu.features.has('subgroups')) return { used: false, reason: 'the device has no subgroups' };
  const { subgroupSize } = gpu.adapter;
  if (subgroupSize < LANES) return { used: false, reason: `subgroups may have ${subgroupSize} threads, not ${LANES}` };
  const problem = await runSubgroupTest(gpu);
  return problem === undefined ? { used: true } : { used: false, reason: problem };
}

/** @returns what is wrong with the sums that the device gives */
export async function runSubgroupTest(gpu: GpuDevice): Promise<string | undefined> {
  const recorder = new CommandRecorder(gpu);
  const memory = new GpuMemory('subgroup test', gpu, recorder);
  try {
    const output = memory.bind(memory.allocate('f32', [LANES * TEAMS], 'scratch'));
    const kernel = { label: 'subgroup test', code: TEST_CODE, entryPoint: 'main', bindings: ['read_write'] } as const;
    recorder.dispatch(kernel, { storage: [output], workgroups: [1, 1, 1] });
    const sums = new Float32Array(LANES * TEAMS);
    await recorder.read(output.buffer, 0, new Uint8Array(sums.buffer));
    // The sum of the squares below 32 is 31 * 32 * 63 / 6.
    const wrong = sums.findIndex((sum, i) => sum !== 10_416 + Math.floor(i / LANES) * 1000 * LANES);
    return wrong === -1 ? undefined : `a sum over ${LANES} threads gave ${sums[wrong]}`;
  } catch (error) {
    gpu.expectAlive();
    return error instanceof Error ? error.message : String(error);
  } finally {
    memory.releaseAll();
    recorder.close();
  }
}
