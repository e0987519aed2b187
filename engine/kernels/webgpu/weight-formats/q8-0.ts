/** Q8_0: 32 signed bytes times one f16 scale. Layout as stored: engine/tensor/quant/q8-0.ts.
 *
 *   plane 0   32 bytes of quants a block       plane 1   2 bytes of scale a block */
import { SCALE_CODE, type WeightFormat } from './weight-format.ts';

const STORED_BYTES = 34;

export const Q8_0_WEIGHTS: WeightFormat = {
  name: 'q8_0',
  blockSize: 32,
  planeBytes: [32, 2],

  pack(source, numBlocks, [quants, scales]) {
    for (let block = 0; block < numBlocks; block++) {
      const from = block * STORED_BYTES;
      scales!.set(source.subarray(from, from + 2), block * 2);
      quants!.set(source.subarray(from + 2, from + STORED_BYTES), block * 32);
    }
  },

  groupCode: /* wgsl */ `${SCALE_CODE}
struct Group { low: vec4<u32>, high: vec4<u32>, scale: f32 }

fn load_group(row: u32, group: u32) -> Group {
  let block = row * p.groups_per_row + group;
  return Group(weight[2u * block], weight[2u * block + 1u], scale_at(block));
}

fn group_vec4(g: Group, j: u32) -> vec4<f32> {
  let word = select(g.low[j & 3u], g.high[j & 3u], j >= 4u);
  return vec4<f32>(unpack4xI8(word)) * g.scale;
}
`,

  int8Code: /* wgsl */ `
fn group_dot(g: Group, x: Levels) -> f32 {
  var sum = 0;
  for (var i = 0u; i < 4u; i++) {
    sum += dot4I8Packed(g.low[i], x.low[i]) + dot4I8Packed(g.high[i], x.high[i]);
  }
  return g.scale * f32(sum);
}
`,
};
