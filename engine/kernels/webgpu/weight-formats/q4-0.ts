/** Q4_0: 32 nibbles, less 8, times one f16 scale. Layout as stored: engine/tensor/quant/q4-0.ts.
 *
 *   plane 0   16 bytes of quants a block       plane 1   2 bytes of scale a block */
import { NIBBLE_CODE, NIBBLE_INT8_CODE, SCALE_CODE, type WeightFormat } from './weight-format.ts';

const STORED_BYTES = 18;

export const Q4_0_WEIGHTS: WeightFormat = {
  name: 'q4_0',
  blockSize: 32,
  planeBytes: [16, 2],

  pack(source, numBlocks, [quants, scales]) {
    for (let block = 0; block < numBlocks; block++) {
      const from = block * STORED_BYTES;
      scales!.set(source.subarray(from, from + 2), block * 2);
      quants!.set(source.subarray(from + 2, from + STORED_BYTES), block * 16);
    }
  },

  groupCode: /* wgsl */ `${SCALE_CODE}${NIBBLE_CODE}
fn load_group(row: u32, group: u32) -> Group {
  let block = row * p.groups_per_row + group;
  let scale = scale_at(block);
  return Group(weight[block], scale, -8.0 * scale);
}
`,
  int8Code: NIBBLE_INT8_CODE,
};
