/** What all matmul kernels have in common: arguments, how weights and activations are read, how a result is stored. */
import type { WeightFormat } from '../weight-formats/index.ts';
import { FORMULAS } from './formulas.ts';
import { TANH_CODE } from './tanh.ts';

/** How a kernel sees the weight. */
export interface MatmulWeight {
  readonly format: WeightFormat;
  /** Rows are whole groups of 32 and begin at whole vec4s; else weights and activations are read one by one, and what is
   * past the row's end counts as 0. */
  readonly hasGroups: boolean;
  /** What the activations are; int8 for whole groups of formats with `int8Code` only. Absent: f32. */
  readonly activations?: 'f32' | 'int8';
}

/** What an output becomes of a sum and its bias: itself, or something that it makes with what was in its place before. The
 * numbers are `p.join`. */
export const JOINS = { none: 0, add: 1, siluMul: 2, geluMul: 3 } as const;

/** Declares the bindings, `load_group` and `group_vec4` (see `WeightFormat`), and
 *
 *   fn x_at(token: u32, group: u32, j: u32) -> vec4<f32>       four activations, as `group_vec4` gives four weights;
 *                                                              with int8 `levels_at` and `group_dot` instead
 *   fn horizontal(v: vec4<f32>) -> f32                         their sum
 *   fn store(row: u32, token: u32, sum: f32)                   with the bias, joined; does nothing past the end */
export function matmulCommonCode(variant: MatmulWeight): string {
  const { format, hasGroups } = variant;
  const x = activationsCode(variant);
  return /* wgsl */ `
struct Params {
  row_length: u32, groups_per_row: u32, tokens: u32, rows: u32, row_in_buffer: u32,
  weight_start: u32, scales_start: u32, x_start: u32, has_bias: u32, bias_start: u32, out_start: u32, out_stride: u32,
  join: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<${hasGroups ? 'vec4<u32>' : 'u32'}>;
@group(0) @binding(2) var<storage, read> x: array<${x.type}>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
${hasGroups ? format.groupCode : elementGroupCode(format)}
${x.code}${TANH_CODE}
fn horizontal(v: vec4<f32>) -> f32 { return (v.x + v.z) + (v.y + v.w); }

fn joined(a: f32, b: f32) -> f32 {
  switch p.join {
    case ${JOINS.add}u: { return ${FORMULAS.add}; }
    case ${JOINS.siluMul}u: { return ${FORMULAS.siluMul}; }
    case ${JOINS.geluMul}u: { return ${FORMULAS.geluMul}; }
    default: { return b; }
  }
}

fn store(row: u32, token: u32, sum: f32) {
  if (row >= p.rows || token >= p.tokens) { return; }
  var result = sum;
  if (p.has_bias == 1u) { result += bias[p.bias_start + row]; }
  let place = p.out_start + token * p.out_stride + row;
  if (p.join != ${JOINS.none}u) { result = joined(output[place], result); }
  output[place] = result;
}
`;
}

function activationsCode({ format, hasGroups, activations }: MatmulWeight): {
  readonly type: string;
  readonly code: string;
} {
  if (activations === 'int8') return { type: 'vec4<u32>', code: `${LEVELS_CODE}${format.int8Code}` };
  return hasGroups ? { type: 'vec4<f32>', code: X_AS_VEC4 } : { type: 'f32', code: X_AS_ELEMENTS };
}

/** One line for each of `count` variables. */
export function times(count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => line(i)).join('\n');
}

const X_AS_VEC4 = /* wgsl */ `
fn x_at(token: u32, group: u32, j: u32) -> vec4<f32> {
  return x[(p.x_start + token * p.row_length) / 4u + group * 8u + j];
}
`;

const X_AS_ELEMENTS = /* wgsl */ `
fn x_element(token: u32, k: u32) -> f32 {
  if (k >= p.row_length) { return 0.0; }
  return x[p.x_start + token * p.row_length + k];
}

fn x_at(token: u32, group: u32, j: u32) -> vec4<f32> {
  let k = group * 32u + j * 4u;
  return vec4<f32>(x_element(token, k), x_element(token, k + 1u), x_element(token, k + 2u), x_element(token, k + 3u));
}
`;

/** Over `x` as `int8-activations.ts` leaves it. */
const LEVELS_CODE = /* wgsl */ `
struct Levels { low: vec4<u32>, high: vec4<u32>, scale: f32, sum: f32 }

fn levels_at(token: u32, group: u32) -> Levels {
  let at = 3u * (token * p.groups_per_row + group);
  let about = x[at + 2u];
  return Levels(x[at], x[at + 1u], bitcast<f32>(about.x), f32(bitcast<i32>(about.y)));
}
`;

function elementGroupCode({ elementCode }: WeightFormat): string {
  return /* wgsl */ `${elementCode}
struct Group { start: u32, k: u32 }

fn load_group(row: u32, group: u32) -> Group {
  return Group(p.weight_start + row * p.row_length + group * 32u, group * 32u);
}

fn group_vec4(g: Group, j: u32) -> vec4<f32> {
  var values = vec4<f32>(0.0);
  for (var i = 0u; i < 4u; i++) {
    if (g.k + 4u * j + i < p.row_length) { values[i] = weight_at(g.start + 4u * j + i); }
  }
  return values;
}
`;
}
