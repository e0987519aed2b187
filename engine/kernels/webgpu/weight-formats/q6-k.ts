/** Q6_K: 256 weights of 6 bits, less 32; every 16 have a scale of 8 bits, a multiple of the block's f16 number.
 * Layout as stored: engine/tensor/quant/q6-k.ts. Packed, a block is 13 vec4s in plane 0 and 2 bytes of d in plane 1:
 *
 *   8 x 16 bytes   lower 4 bits of one group: byte i holds weight i below and weight i + 16 above
 *   8 x  8 bytes   upper 2 bits of one group: bits 2j of byte b of word h belong to weight 16h + 4j + b
 *       16 bytes   scales */
import { SCALE_CODE, type WeightFormat } from './weight-format.ts';

const STORED_BYTES = 210;
const PACKED_BYTES = 208;

/** Where the parts of a stored block begin. */
const UPPER = 128;
const SCALES = 192;
const D = 208;

export const Q6_K_WEIGHTS: WeightFormat = {
  name: 'q6_k',
  blockSize: 256,
  planeBytes: [PACKED_BYTES, 2],

  pack(source, numBlocks, [quants, scales]) {
    const values = new Uint8Array(256);
    for (let block = 0; block < numBlocks; block++) {
      const stored = source.subarray(block * STORED_BYTES, (block + 1) * STORED_BYTES);
      const packed = quants!.subarray(block * PACKED_BYTES, (block + 1) * PACKED_BYTES);
      unpackQuants(stored, values);
      packed.fill(0);
      for (let group = 0; group < 8; group++) {
        for (let i = 0; i < 16; i++) {
          const [first, second] = [values[32 * group + i]!, values[32 * group + 16 + i]!];
          packed[16 * group + i] = (first & 15) | ((second & 15) << 4);
          const [byte, shift] = [UPPER + 8 * group + (i & 3), 2 * (i >> 2)];
          packed[byte]! |= (first >> 4) << shift;
          packed[byte + 4]! |= (second >> 4) << shift;
        }
      }
      packed.set(stored.subarray(SCALES, D), SCALES);
      scales!.set(stored.subarray(D, STORED_BYTES), 2 * block);
    }
  },

  groupCode: /* wgsl */ `${SCALE_CODE}
struct Group { lower: vec4<u32>, upper: vec2<u32>, scales: vec2<f32> }

fn load_group(row: u32, group: u32) -> Group {
  let block = row * (p.groups_per_row >> 3u) + (group >> 3u);
  let start = block * 13u;
  let g = group & 7u;
  let is_odd = (g & 1u) == 1u;
  let upper = weight[start + 8u + (g >> 1u)];
  let scales = vec4<f32>(unpack4xI8(weight[start + 12u][g >> 1u])) * scale_at(block);
  return Group(weight[start + g], select(upper.xy, upper.zw, is_odd), select(scales.xy, scales.zw, is_odd));
}

fn group_vec4(g: Group, j: u32) -> vec4<f32> {
  let half = j >> 2u;
  let low = (g.lower[j & 3u] >> (4u * half)) & 0x0f0f0f0fu;
  let high = ((g.upper[half] >> (2u * (j & 3u))) & 0x03030303u) << 4u;
  return (vec4<f32>(unpack4xU8(low | high)) - 32.0) * g.scales[half];
}
`,
};

/** The 6-bit numbers of a block in the order of its weights. */
function unpackQuants(stored: Uint8Array, values: Uint8Array): void {
  for (let half = 0; half < 2; half++) {
    for (let l = 0; l < 32; l++) {
      const [a, b] = [stored[64 * half + l]!, stored[64 * half + 32 + l]!];
      const upper = stored[UPPER + 32 * half + l]!;
      const at = 128 * half + l;
      values[at] = (a & 15) | ((upper & 3) << 4);
      values[at + 32] = (b & 15) | (((upper >> 2) & 3) << 4);
      values[at + 64] = (a >> 4) | (((upper >> 4) & 3) << 4);
      values[at + 96] = (b >> 4) | ((upper >> 6) << 4);
    }
  }
}
