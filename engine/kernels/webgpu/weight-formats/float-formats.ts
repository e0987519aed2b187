/** Weights without quant blocks, as they are stored: f32, f16, bf16. */
import type { WeightFormat } from './weight-format.ts';

/** Nothing is kept: a cache line is read for each four weights anyway. */
function placeOfGroup(vec4sPerGroup: number): string {
  return /* wgsl */ `
struct Group { start: u32 }

fn load_group(row: u32, group: u32) -> Group {
  return Group((row * p.groups_per_row + group) * ${vec4sPerGroup}u);
}
`;
}

function dense(name: string, bytes: number, code: Pick<WeightFormat, 'groupCode' | 'elementCode'>): WeightFormat {
  return {
    name,
    blockSize: 1,
    planeBytes: [bytes],
    pack: (source, _numBlocks, planes) => planes[0]!.set(source),
    ...code,
  };
}

export const F32_WEIGHTS = dense('f32', 4, {
  groupCode: /* wgsl */ `${placeOfGroup(8)}
fn group_vec4(g: Group, j: u32) -> vec4<f32> { return bitcast<vec4<f32>>(weight[g.start + j]); }
`,
  elementCode: /* wgsl */ `
fn weight_at(index: u32) -> f32 { return bitcast<f32>(weight[index]); }
`,
});

export const F16_WEIGHTS = dense('f16', 2, {
  groupCode: /* wgsl */ `${placeOfGroup(4)}
fn group_vec4(g: Group, j: u32) -> vec4<f32> {
  let words = weight[g.start + (j >> 1u)];
  let pair = select(words.xy, words.zw, (j & 1u) == 1u);
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
`,
  elementCode: /* wgsl */ `
fn weight_at(index: u32) -> f32 { return unpack2x16float(weight[index >> 1u])[index & 1u]; }
`,
});

/** bf16 is the upper half of an f32. */
export const BF16_WEIGHTS = dense('bf16', 2, {
  groupCode: /* wgsl */ `${placeOfGroup(4)}
fn group_vec4(g: Group, j: u32) -> vec4<f32> {
  let words = weight[g.start + (j >> 1u)];
  let pair = select(words.xy, words.zw, (j & 1u) == 1u);
  let even = bitcast<vec2<f32>>(pair << vec2<u32>(16u));
  let odd = bitcast<vec2<f32>>(pair & vec2<u32>(0xffff0000u));
  return vec4<f32>(even.x, odd.x, even.y, odd.y);
}
`,
  elementCode: /* wgsl */ `
fn weight_at(index: u32) -> f32 {
  let word = weight[index >> 1u];
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u));
}
`,
});
