/** How a weight lies in GPU memory, and the WGSL that reads it. One implementation per file in this folder.
 *
 * A thread reads a group of 32 neighbouring weights of a row at a time, in loads of 16 bytes, and neighbouring threads
 * read neighbouring groups. GGML's quant blocks of 18, 34 or 210 bytes do not allow that, so a weight is packed into
 * planes when it is loaded: what every group has 16 bytes of lies in one plane, the scales in another.
 *
 *   as stored   | d q q q q | d q q q q | d q q q q |      d: scale, 2 bytes; q: quants, 16 bytes
 *   plane 0     | q q q q | q q q q | q q q q |
 *   plane 1     | d d d |
 *
 * Planes of one buffer lie one after another; each begins at a multiple of 16 bytes. */

/** Weights that a kernel's thread takes at once. */
export const GROUP_SIZE = 32;

export interface WeightFormat {
  /** Names the layout in kernel labels. */
  readonly name: string;
  /** Elements of one quant block. */
  readonly blockSize: number;
  /** Bytes that a quant block takes in each plane. */
  readonly planeBytes: readonly number[];
  /** Spreads stored quant blocks over the planes, each of which holds `numBlocks * planeBytes[i]` bytes. */
  pack(source: Uint8Array, numBlocks: number, planes: readonly Uint8Array[]): void;
  /** Declares what a thread keeps of a group, still packed, and how it unpacks four of its weights at a time:
   *
   *   struct Group
   *   fn load_group(row: u32, group: u32) -> Group      for rows that are a multiple of 32 long
   *   fn group_vec4(g: Group, j: u32) -> vec4<f32>      weights 4j to 4j + 3, j < 8
   *
   * Reads `weight`, an `array<vec4<u32>>`, and the params `groups_per_row` and `scales_start`, where plane 1 begins, counted
   * in vec4s. */
  readonly groupCode: string;
  /** Declares `fn weight_at(index: u32) -> f32` over `weight` as an `array<u32>`. Formats without quant blocks only: their
   * rows may have any length. */
  readonly elementCode?: string;
  /** Declares `fn group_dot(g: Group, x: Levels) -> f32`: the dot product of a group with 32 activations of 8 bits, less their
   * scale (`ops/int8-activations.ts`). Absent: such weights are multiplied in f32 only. */
  readonly int8Code?: string;
}

/** Reads f16 number i of plane 1. Written out because drivers may take small scales (below 2^-14, as K-quants have) for 0
 * in their own conversion. */
export const SCALE_CODE = /* wgsl */ `
fn half_to_float(half: u32) -> f32 {
  let exponent = (half >> 10u) & 31u;
  let mantissa = half & 1023u;
  let sign = (half & 0x8000u) << 16u;
  if (exponent == 0u) {
    return select(1.0, -1.0, sign != 0u) * f32(mantissa) * 5.9604644775390625e-8;
  }
  let wide = select(exponent + 112u, 255u, exponent == 31u);
  return bitcast<f32>(sign | (wide << 23u) | (mantissa << 13u));
}

fn scale_at(index: u32) -> f32 {
  let word = weight[p.scales_start + (index >> 3u)][(index >> 1u) & 3u];
  return half_to_float((word >> ((index & 1u) * 16u)) & 0xffffu);
}
`;

/** The group of formats with 16 bytes of nibbles: byte i holds weight i below and weight i + 16 above. */
export const NIBBLE_CODE = /* wgsl */ `
struct Group { quants: vec4<u32>, scale: f32, offset: f32 }

fn group_vec4(g: Group, j: u32) -> vec4<f32> {
  let nibbles = (g.quants[j & 3u] >> (4u * (j >> 2u))) & 0x0f0f0f0fu;
  return fma(vec4<f32>(unpack4xU8(nibbles)), vec4<f32>(g.scale), vec4<f32>(g.offset));
}
`;

/** `int8Code` of those formats. */
export const NIBBLE_INT8_CODE = /* wgsl */ `
fn group_dot(g: Group, x: Levels) -> f32 {
  var sum = 0;
  for (var i = 0u; i < 4u; i++) {
    sum += dot4I8Packed(g.quants[i] & 0x0f0f0f0fu, x.low[i]);
    sum += dot4I8Packed((g.quants[i] >> 4u) & 0x0f0f0f0fu, x.high[i]);
  }
  return fma(g.scale, f32(sum), g.offset * x.sum);
}
`;
