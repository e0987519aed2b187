/** The matmul kernel for devices with matrix units: products of f16 tiles, which the threads of a subgroup compute together.
 * As `matmul-tile-code.ts`, a workgroup has 64 rows and 64 tokens and brings in 32 products of each at a time; four
 * subgroups have a quarter each, cut into tiles of the unit's size.
 *
 *            rows 0 .. 31    rows 32 .. 63        left    M tokens x K products, as they lie in x_slice
 *   tokens  +---------------+---------------+     right   K products x N rows: w_slice lies the other way round, by columns
 *    0..31  | subgroup 0    | subgroup 1    |     result  M tokens x N rows, f32
 *   32..63  | subgroup 2    | subgroup 3    |
 *           +---------------+---------------+
 *
 * The order of the sums within a unit is the device's own. No other subgroup operation is in this shader: drivers do not
 * agree on both at once.
 * Source  Dawn, docs/dawn/features/subgroup_matrix.md */
import { type MatmulWeight, matmulCommonCode, times } from './matmul-code.ts';
import { TILE_SIZE, TO_HALF_CODE } from './matmul-tile-code.ts';

/** A size that the unit has, f16 to f32, and the number of threads that it takes. */
export interface MatrixUnit {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly subgroupSize: number;
}

export interface MatrixVariant extends MatmulWeight {
  readonly unit: MatrixUnit;
}

/** Subgroups of a workgroup, and the side of what each computes. */
const SUBGROUPS = 4;
const SIDE = TILE_SIZE / 2;
const GROUP = 32;

/** Whether the kernel can be built of such a unit, on a device with so much workgroup memory. */
export function fitsMatrixUnit({ M, N, K, subgroupSize }: MatrixUnit, workgroupBytes: number): boolean {
  const isWhole = [SIDE % M, SIDE % N, GROUP % K].every((rest) => rest === 0);
  return isWhole && 2 * TILE_SIZE * GROUP * 2 + SUBGROUPS * M * N * 4 <= workgroupBytes && subgroupSize <= 64;
}

export function matmulMatrixCode(variant: MatrixVariant): string {
  const { M, N, K, subgroupSize } = variant.unit;
  const threads = SUBGROUPS * subgroupSize;
  const [tokens, rows] = [SIDE / M, SIDE / N];
  const each = (line: (t: number, r: number) => string): string => times(tokens, (t) => times(rows, (r) => line(t, r)));
  return /* wgsl */ `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
${matmulCommonCode(variant)}${TO_HALF_CODE}
alias Left = subgroup_matrix_left<f16, ${K}, ${M}>;
alias Right = subgroup_matrix_right<f16, ${N}, ${K}>;
alias Result = subgroup_matrix_result<f32, ${N}, ${M}>;
var<workgroup> w_slice: array<f16, ${TILE_SIZE * GROUP}>;
var<workgroup> x_slice: array<f16, ${TILE_SIZE * GROUP}>;
/** Of each subgroup, one tile of results on its way out. */
var<workgroup> results: array<f32, ${SUBGROUPS * M * N}>;

/** Brings in products 32 * group on, of all rows and tokens of the tile. Past the end the last one is repeated. */
fn load_slice(first_row: u32, first_token: u32, group: u32, thread: u32) {
  for (var i = thread; i < ${TILE_SIZE * 8}u; i += ${threads}u) {
    let line = i / 8u;
    let j = i % 8u;
    let w = narrow(group_vec4(load_group(p.row_in_buffer + min(first_row + line, p.rows - 1u), group), j));
    let v = narrow(x_at(min(first_token + line, p.tokens - 1u), group, j));
    for (var c = 0u; c < 4u; c++) {
      w_slice[line * ${GROUP}u + 4u * j + c] = w[c];
      x_slice[line * ${GROUP}u + 4u * j + c] = v[c];
    }
  }
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) place: u32) {
  let first_row = tile.x * ${TILE_SIZE}u;
  let first_token = tile.y * ${TILE_SIZE}u;
  let row_offset = (subgroup % 2u) * ${SIDE}u;
  let token_offset = (subgroup / 2u) * ${SIDE}u;
${each((t, r) => `  var sum_${t}_${r}: Result;`)}
  for (var group = 0u; group < p.groups_per_row; group++) {
    workgroupBarrier();
    load_slice(first_row, first_token, group, thread);
    workgroupBarrier();
    for (var k = 0u; k < ${GROUP}u; k += ${K}u) {
${times(tokens, (t) => `      let x_${t} = subgroupMatrixLoad<Left>(&x_slice, (token_offset + ${t * M}u) * ${GROUP}u + k, false, ${GROUP}u);`)}
${times(rows, (r) => `      let w_${r} = subgroupMatrixLoad<Right>(&w_slice, (row_offset + ${r * N}u) * ${GROUP}u + k, true, ${GROUP}u);`)}
${each((t, r) => `      sum_${t}_${r} = subgroupMatrixMultiplyAccumulate(x_${t}, w_${r}, sum_${t}_${r});`)}
    }
  }
${each((t, r) => storeTile(variant.unit, t, r))}
}
`;
}

/** Through workgroup memory: rows and tokens past the end must not be written, and there may be a bias. */
function storeTile({ M, N, subgroupSize }: MatrixUnit, t: number, r: number): string {
  return /* wgsl */ `
  subgroupMatrixStore(&results, subgroup * ${M * N}u, sum_${t}_${r}, false, ${N}u);
  workgroupBarrier();
  for (var i = place; i < ${M * N}u; i += ${subgroupSize}u) {
    store(first_row + row_offset + ${r * N}u + i % ${N}u, first_token + token_offset + ${t * M}u + i / ${N}u,
          results[subgroup * ${M * N}u + i]);
  }
  workgroupBarrier();`;
}
