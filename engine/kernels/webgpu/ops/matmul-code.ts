/** The WGSL of a matmul variant. `matmul.ts` says how the work is shared; every variant adds in the same order. */
import { ADD_LANES_CODE, LANES } from '../subgroup-sum.ts';
import type { WeightFormat } from '../weight-formats/index.ts';

/** Teams of `LANES` threads in a workgroup. */
export const TEAMS = 4;

/** Rows of the weight and tokens that a team computes at a time: what a thread loads of a token serves all rows, and what it
 * unpacks of a row serves all tokens. A single token waits for memory, so it is spread over more teams. */
export interface Tile {
  readonly rows: number;
  readonly tokens: number;
}

export const TILE_OF_ONE: Tile = { rows: 2, tokens: 1 };
export const TILE_OF_MANY: Tile = { rows: 4, tokens: 4 };

export interface MatmulVariant {
  readonly format: WeightFormat;
  /** Rows are whole groups of 32 and begin at whole vec4s; else weights and activations are read one by one, and what is
   * past the row's end counts as 0. */
  readonly hasGroups: boolean;
  readonly tile: Tile;
  /** Lanes may add by `ADD_LANES_CODE`. */
  readonly hasSubgroups: boolean;
}

export function matmulCode(variant: MatmulVariant): string {
  const { format, hasGroups, tile, hasSubgroups } = variant;
  const { rows, tokens } = tile;
  const items = rows * tokens;
  return /* wgsl */ `${hasSubgroups ? 'enable subgroups;\n' : ''}
struct Params {
  row_length: u32, groups_per_row: u32, tokens: u32, rows: u32, row_in_buffer: u32,
  weight_start: u32, scales_start: u32, x_start: u32, has_bias: u32, bias_start: u32, out_start: u32, out_stride: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<${hasGroups ? 'vec4<u32>' : 'u32'}>;
@group(0) @binding(2) var<storage, read> x: array<${hasGroups ? 'vec4<f32>' : 'f32'}>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
${hasGroups ? format.groupCode : elementGroupCode(format)}
${hasGroups ? X_AS_VEC4 : X_AS_ELEMENTS}
${reductionCode(items, hasSubgroups)}
@compute @workgroup_size(${LANES}, ${TEAMS})
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>) {
  let lane = thread.x;
  let team = thread.y;
  let first_row = (tile.x * ${TEAMS}u + team) * ${rows}u;
  let first_token = tile.y * ${tokens}u;
  // Rows and tokens past the end repeat the last one; their results are dropped.
${times(rows, (r) => `  let row_${r} = p.row_in_buffer + min(first_row + ${r}u, p.rows - 1u);`)}
${times(tokens, (t) => `  let token_${t} = min(first_token + ${t}u, p.tokens - 1u);`)}
${times(rows, (r) => times(tokens, (t) => `  var sum_${r}_${t} = vec4<f32>(0.0);`))}
  for (var group = lane; group < p.groups_per_row; group += ${LANES}u) {
${times(rows, (r) => `    let group_${r} = load_group(row_${r}, group);`)}
    for (var j = 0u; j < 8u; j++) {
${times(rows, (r) => `      let w_${r} = group_vec4(group_${r}, j);`)}
${times(tokens, (t) => tileStep(t, rows))}
    }
  }
${hasSubgroups ? inSubgroup(tile) : inWorkgroup(tile)}
}
`;
}

function times(count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => line(i)).join('\n');
}

/** Four products of one token with each row's weights. */
function tileStep(t: number, rows: number): string {
  const steps = times(rows, (r) => `      sum_${r}_${t} = fma(w_${r}, v_${t}, sum_${r}_${t});`);
  return `      let v_${t} = x_at(token_${t}, group, j);\n${steps}`;
}

/** Lanes leave their sums where one of them adds those of an output. */
function inWorkgroup({ rows, tokens }: Tile): string {
  const items = rows * tokens;
  const leave = (r: number, t: number): string =>
    `  sums[team * ${items}u + ${r * tokens + t}u][lane] = horizontal(sum_${r}_${t});`;
  return `${times(rows, (r) => times(tokens, (t) => leave(r, t)))}
  workgroupBarrier();
  if (lane < ${items}u) {
    var result = 0.0;
    for (var i = 0u; i < ${LANES}u; i++) { result += sums[team * ${items}u + lane][i]; }
    store(first_row + lane / ${tokens}u, first_token + lane % ${tokens}u, result);
  }`;
}

/** Lanes of a subgroup add without workgroup memory: at each step a lane takes what lane xor stride has. */
function inSubgroup({ rows, tokens }: Tile): string {
  const item = (r: number, t: number): string => `  {
    let result = add_lanes(horizontal(sum_${r}_${t}));
    if (lane == ${r * tokens + t}u) { store(first_row + ${r}u, first_token + ${t}u, result); }
  }`;
  return times(rows, (r) => times(tokens, (t) => item(r, t)));
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

function reductionCode(items: number, hasSubgroups: boolean): string {
  return /* wgsl */ `${hasSubgroups ? ADD_LANES_CODE : `var<workgroup> sums: array<array<f32, ${LANES}>, ${items * TEAMS}>;`}
fn horizontal(v: vec4<f32>) -> f32 { return (v.x + v.z) + (v.y + v.w); }

fn store(row: u32, token: u32, sum: f32) {
  if (row >= p.rows || token >= p.tokens) { return; }
  var result = sum;
  if (p.has_bias == 1u) { result += bias[p.bias_start + row]; }
  output[p.out_start + token * p.out_stride + row] = result;
}
`;
}
