/** Activations as whole numbers, so that four products with quantized weights are one instruction (`dot4I8Packed`). Each 32
 * of a row, which meet the 32 weights of a group, have a scale of their own:
 *
 *   scale = largest |x| / 127        level = round(x / scale), from -127 to 127
 *
 *   in memory   | 32 levels, a byte each | scale, f32 | sum of the levels, i32 | 8 bytes of nothing |      3 vec4<u32>
 *
 * A weight is scale_w * q + offset_w with a whole q, so a group's dot product is
 *
 *   scale * (scale_w * sum of q * level  +  offset_w * sum of levels)
 *
 * in which both sums are exact. What is lost is lost in rounding to levels: at most 0.4 % of the largest |x| of 32.
 * Source  Dettmers et al. 2022, "LLM.int8()", section 2.1; the block format Q8_1 of llama.cpp */
import type { BoundTensor } from '../gpu-memory.ts';
import { FLAT_GROUP, flatGrid, type OpContext, packParams } from '../op-context.ts';

const THREADS = 64;

const BYTES_PER_GROUP = 48;

/** Records the rounding of `numGroups` times 32 activations, which begin at a whole vec4.
 * @returns where they will be, until the next matmul */
export function roundToInt8(
  { memory, recorder, library, scratch }: OpContext,
  x: BoundTensor,
  numGroups: number,
): BoundTensor {
  const byteLength = numGroups * BYTES_PER_GROUP;
  const levels = memory.bindRange(scratch.take(memory, 'int8 activations', byteLength / 4), 0, byteLength);
  const kernel = library.get('int8 activations', () => ({ bindings: ['uniform', 'read', 'read_write'], code: CODE }));
  recorder.dispatch(kernel, {
    params: packParams([numGroups, x.wordOffset / 4]),
    storage: [x, levels],
    workgroups: flatGrid(Math.ceil(numGroups / THREADS)),
  });
  return levels;
}

/** One thread per group. An activation that is no number makes all 32 none: a maximum may pass over it. */
const CODE = /* wgsl */ `
struct Params { groups: u32, x_start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<u32>>;
${FLAT_GROUP}
const EXPONENT = vec4<u32>(0x7f800000u);

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * ${THREADS}u + lane;
  if (i >= p.groups) { return; }
  let start = p.x_start + 8u * i;
  var largest = vec4<f32>(0.0);
  var exponents = vec4<u32>(0u);
  for (var j = 0u; j < 8u; j++) {
    largest = max(largest, abs(x[start + j]));
    exponents = max(exponents, bitcast<vec4<u32>>(x[start + j]) & EXPONENT);
  }
  var scale = max(max(largest.x, largest.y), max(largest.z, largest.w)) / 127.0;
  // The reciprocal of less would overflow.
  if (scale < 1e-37) { scale = 0.0; }
  let inverse = select(0.0, 1.0 / scale, scale > 0.0);
  var levels: array<vec4<u32>, 2>;
  var sum = 0;
  for (var j = 0u; j < 8u; j++) {
    let word = pack4xI8Clamp(vec4<i32>(round(clamp(x[start + j] * inverse, vec4<f32>(-127.0), vec4<f32>(127.0)))));
    levels[j >> 2u][j & 3u] = word;
    sum += dot4I8Packed(word, 0x01010101u);
  }
  var not_a_number = 0x7fc00000u;
  let bits = select(bitcast<u32>(scale), not_a_number, any(exponents == EXPONENT));
  output[3u * i] = levels[0];
  output[3u * i + 1u] = levels[1];
  output[3u * i + 2u] = vec4<u32>(bits, bitcast<u32>(sum), 0u, 0u);
}
`;
