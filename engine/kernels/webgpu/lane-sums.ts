/** How the 32 lanes of a team add up their sums, and the test that a device must pass before lanes exchange values.
 *
 *   lanes   | 0 1 2 3 4 5 6 7 | 8 ... 15 | 16 ... 23 | 24 ... 31 |
 *   eights      one by one         ...                               B = ((l0 + l1) + l2) + ... + l7
 *   total       one by one                                           ((B0 + B1) + B2) + B3
 *
 * One by one, as a thread that computes a whole output alone (`ops/matmul-tile-code.ts`) keeps two numbers for it: the eight
 * so far and the total so far. A tree would need one for each of its levels. The order is the same in every kernel, so
 * that all give the same bits (law 2). */
import type { FeatureState } from '../kernel-backend.ts';
import { CommandRecorder } from './command-recorder.ts';
import type { GpuDevice } from './gpu-device.ts';
import { GpuMemory } from './gpu-memory.ts';

/** Threads that share a sum. */
export const LANES = 32;

/** How many neighbouring lanes may take each other's values. */
export type ShuffleSpan = 0 | 8 | 32;

/** Declares `fn add_eight(own: f32, lane: u32) -> f32`: the sum of the lane's eight, to each of them. Needs `enable
 * subgroups` and that lane i of eight neighbours lies at place i of eight in a subgroup, which `runSubgroupTest` finds
 * out: WGSL does not promise it. */
export const ADD_EIGHT_CODE = /* wgsl */ `
var<private> place: u32;

fn add_eight(own: f32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < 8u; i++) { sum += subgroupShuffle(own, (place & ~7u) + i); }
  return sum;
}
`;

/** Declares `fn add_eights(eight: f32) -> f32`, where 32 lanes may exchange values: the sum of four eights. */
export const ADD_EIGHTS_CODE = /* wgsl */ `
fn add_eights(eight: f32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < 4u; i++) { sum += subgroupShuffle(eight, (place & ~31u) + 8u * i); }
  return sum;
}
`;

const TEAMS = 4;

/** Digits in base 8 would overflow: it is the order of the lanes that is asked for, so each place has a factor of its own. */
const testCode = (span: 8 | 32): string => /* wgsl */ `enable subgroups;
@group(0) @binding(0) var<storage, read_write> output: array<f32>;
${ADD_EIGHT_CODE}${ADD_EIGHTS_CODE}
@compute @workgroup_size(${LANES}, ${TEAMS})
fn main(@builtin(local_invocation_id) thread: vec3<u32>, @builtin(local_invocation_index) index: u32,
        @builtin(subgroup_invocation_id) own_place: u32) {
  place = own_place;
  var matches = 0.0;
  for (var i = 0u; i < 8u; i++) {
    let other = subgroupShuffle(index, (place & ~7u) + i);
    matches += select(0.0, 1.0, other == (index & ~7u) + i);
  }
  let eight = add_eight(f32(thread.x * thread.x + thread.y * 1000u));
  output[index] = select(-1.0, ${span === 32 ? 'add_eights(eight)' : 'eight'}, matches == 8.0);
}
`;

/** The lanes that may exchange values on this device, and why not more. */
export async function checkSubgroups(
  gpu: GpuDevice,
): Promise<{ readonly span: ShuffleSpan; readonly state: FeatureState }> {
  const no = (reason: string) => ({ span: 0, state: { used: false, reason } }) as const;
  if (!gpu.features.has('subgroups')) return no('the device has no subgroups');
  const { minSubgroupSize } = gpu.adapter;
  if (minSubgroupSize < 8) return no(`subgroups may have ${minSubgroupSize} threads, fewer than 8`);
  const span = minSubgroupSize >= LANES ? 32 : 8;
  const problem = await runSubgroupTest(gpu, span);
  return problem === undefined ? { span, state: { used: true } } : no(problem);
}

/** Adds up numbers whose sums are known.
 * @returns what is wrong with the sums that the device gives */
export async function runSubgroupTest(gpu: GpuDevice, span: 8 | 32): Promise<string | undefined> {
  const recorder = new CommandRecorder(gpu);
  const memory = new GpuMemory('subgroup test', gpu, recorder);
  try {
    const output = memory.bind(memory.allocate('f32', [LANES * TEAMS], 'scratch'));
    const code = testCode(span);
    const kernel = { label: 'subgroup test', code, entryPoint: 'main', bindings: ['read_write'] } as const;
    recorder.dispatch(kernel, { storage: [output], workgroups: [1, 1, 1] });
    const sums = new Float32Array(LANES * TEAMS);
    await recorder.read(output.buffer, 0, new Uint8Array(sums.buffer));
    const wrong = sums.findIndex((sum, i) => sum !== expectedSum(i, span));
    return wrong === -1 ? undefined : `a sum over ${span} threads gave ${sums[wrong]}`;
  } catch (error) {
    gpu.expectAlive();
    return error instanceof Error ? error.message : String(error);
  } finally {
    memory.releaseAll();
    recorder.close();
  }
}

function expectedSum(index: number, span: 8 | 32): number {
  const [team, lane] = [Math.floor(index / LANES), index % LANES];
  let sum = 0;
  for (let i = lane - (lane % span); i < lane - (lane % span) + span; i++) sum += i * i + team * 1000;
  return sum;
}
