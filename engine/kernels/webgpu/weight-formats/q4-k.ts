/** Q4_K: 256 weights as 8 groups of 32 nibbles; a group has a scale and a minimum of 6 bits each, which are multiples of
 * the block's two f16 numbers. weight = d * scale * nibble - dmin * minimum. Layout as stored: engine/tensor/quant/q4-k.ts.
 *
 *   stored    | d dmin | 12 bytes of scales | 4 x 32 bytes: two groups each, one in the low, one in the high nibbles |
 *   plane 0   | d dmin   12 bytes of scales | 8 x 16 bytes: one group each, as Q4_0 packs it                         |
 *               one vec4                      one vec4 each */
import { NIBBLE_CODE, NIBBLE_INT8_CODE, SCALE_CODE, type WeightFormat } from './weight-format.ts';

const STORED_BYTES = 144;
const HEADER_BYTES = 16;

export const Q4_K_WEIGHTS: WeightFormat = {
  name: 'q4_k',
  blockSize: 256,
  planeBytes: [STORED_BYTES],

  pack(source, numBlocks, [blocks]) {
    for (let start = 0; start < numBlocks * STORED_BYTES; start += STORED_BYTES) {
      blocks!.set(source.subarray(start, start + HEADER_BYTES), start);
      for (let pair = 0; pair < 4; pair++) {
        const at = start + HEADER_BYTES + 32 * pair;
        for (let i = 0; i < 16; i++) {
          const [first, second] = [source[at + i]!, source[at + 16 + i]!];
          blocks![at + i] = (first & 15) | ((second & 15) << 4);
          blocks![at + 16 + i] = (first >> 4) | (second & 0xf0);
        }
      }
    }
  },

  groupCode: /* wgsl */ `${SCALE_CODE}${NIBBLE_CODE}
fn header_byte(header: vec4<u32>, index: u32) -> u32 {
  return (header[1u + (index >> 2u)] >> ((index & 3u) * 8u)) & 255u;
}

fn load_group(row: u32, group: u32) -> Group {
  let start = (row * (p.groups_per_row >> 3u) + (group >> 3u)) * 9u;
  let g = group & 7u;
  let header = weight[start];
  var scale: u32;
  var minimum: u32;
  if (g < 4u) {
    scale = header_byte(header, g) & 63u;
    minimum = header_byte(header, g + 4u) & 63u;
  } else {
    let low = header_byte(header, g + 4u);
    scale = (low & 15u) | ((header_byte(header, g - 4u) >> 6u) << 4u);
    minimum = (low >> 4u) | ((header_byte(header, g) >> 6u) << 4u);
  }
  let d = half_to_float(header.x & 0xffffu);
  let dmin = half_to_float(header.x >> 16u);
  return Group(weight[start + 1u + g], d * f32(scale), -dmin * f32(minimum));
}
`,
  int8Code: NIBBLE_INT8_CODE,
};
