/** The matmul kernel for prompts and large batches: a workgroup computes 64 rows of the weight times 64 tokens, slice by
 * slice of 32 products, which its threads bring into workgroup memory together.
 *
 *              tokens 0 .. 63                  thread (a, b) of 16 x 16 has the outputs of
 *   row  0   +---------------+                 rows a, a + 16, a + 32, a + 48 and tokens b, b + 16, b + 32, b + 48:
 *        :   |               |                 neighbouring threads read neighbouring rows (no two the same bank)
 *   row 63   +---------------+                 or the same token (one read for all)
 *
 * The slices of a sum come in the order that teams of lanes have (`lane-sums.ts`): all groups of lane 0, then all of
 * lane 1, and so on, with the same pauses to add up. So the bits are those of `matmul-team-code.ts`. */
import { LANES } from '../lane-sums.ts';
import { type MatmulWeight, matmulCommonCode, times } from './matmul-code.ts';

/** Rows and tokens of a tile. */
export const TILE_SIZE = 64;

const THREADS = 256;
/** Rows and tokens of a thread. */
const OWN = 4;

export interface TileVariant extends MatmulWeight {
  /** f16: products, and sums of eight of them, are f16 vectors; the sums of those are f32. Other bits than all else. */
  readonly products: 'f32' | 'f16';
  /** Workgroup memory that the device has, in bytes. */
  readonly workgroupBytes: number;
}

/** Bytes of workgroup memory for two arrays of 8 vec4s of each row, with or without a gap. */
const bytesWith = (stride: number): number => 2 * 8 * stride * 16;

/** Whether a device has room for the tile. */
export function hasRoomForTile(workgroupBytes: number): boolean {
  return workgroupBytes >= bytesWith(TILE_SIZE);
}

/** What is larger than f16 can hold becomes the largest that it can. */
export const TO_HALF_CODE = /* wgsl */ `
fn narrow(v: vec4<f32>) -> vec4<f16> { return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0))); }
`;

const OUTPUTS = Array.from({ length: OWN * OWN }, (_, i) => `${Math.floor(i / OWN)}_${i % OWN}`);
const each = (line: (rt: string) => string): string => OUTPUTS.map(line).join('\n');

export function matmulTileCode(variant: TileVariant): string {
  // With a gap, threads that write the 8 vec4s of one token write to different banks.
  const stride = variant.workgroupBytes >= bytesWith(TILE_SIZE + 1) ? TILE_SIZE + 1 : TILE_SIZE;
  const { products } = variant;
  const isHalf = products === 'f16';
  return /* wgsl */ `${isHalf ? 'enable f16;\n' : ''}${matmulCommonCode(variant)}
var<workgroup> w_slice: array<vec4<${products}>, ${8 * stride}>;
var<workgroup> x_slice: array<vec4<${products}>, ${8 * stride}>;
${isHalf ? TO_HALF_CODE : 'fn narrow(v: vec4<f32>) -> vec4<f32> { return v; }'}

/** Brings in products 32 * group on, of all rows and tokens of the tile. Past the end the last one is repeated. */
fn load_slice(first_row: u32, first_token: u32, group: u32, thread: u32) {
  let row = thread % ${TILE_SIZE}u;
  let part = 2u * (thread / ${TILE_SIZE}u);
  let packed = load_group(p.row_in_buffer + min(first_row + row, p.rows - 1u), group);
  w_slice[part * ${stride}u + row] = narrow(group_vec4(packed, part));
  w_slice[(part + 1u) * ${stride}u + row] = narrow(group_vec4(packed, part + 1u));
  for (var token = thread / 8u; token < ${TILE_SIZE}u; token += ${THREADS / 8}u) {
    x_slice[(thread % 8u) * ${stride}u + token] =
      narrow(x_at(min(first_token + token, p.tokens - 1u), group, thread % 8u));
  }
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first_row = tile.x * ${TILE_SIZE}u;
  let first_token = tile.y * ${TILE_SIZE}u;
  let a = thread % 16u;
  let b = thread / 16u;
${each((rt) => `  var total_${rt} = 0.0;\n  var eight_${rt} = 0.0;`)}
  for (var lane = 0u; lane < min(${LANES}u, p.groups_per_row); lane++) {
${each((rt) => `    var sum_${rt} = vec4<f32>(0.0);`)}
    for (var group = lane; group < p.groups_per_row; group += ${LANES}u) {
      workgroupBarrier();
      load_slice(first_row, first_token, group, thread);
      workgroupBarrier();
${isHalf ? each((rt) => `      var part_${rt} = vec4<f16>(0.0h);`) : ''}
      for (var j = 0u; j < 8u; j++) {
${times(OWN, (r) => `        let w_${r} = w_slice[j * ${stride}u + a + ${16 * r}u];`)}
${times(OWN, (t) => `        let v_${t} = x_slice[j * ${stride}u + b + ${16 * t}u];`)}
${each((rt) => `        ${isHalf ? 'part' : 'sum'}_${rt} = fma(w_${rt[0]}, v_${rt[2]}, ${isHalf ? 'part' : 'sum'}_${rt});`)}
      }
${isHalf ? each((rt) => `      sum_${rt} += vec4<f32>(part_${rt});`) : ''}
    }
${each((rt) => `    eight_${rt} += horizontal(sum_${rt});`)}
    if ((lane & 7u) == 7u) {
${each((rt) => `      total_${rt} += eight_${rt};\n      eight_${rt} = 0.0;`)}
    }
  }
  // Rows of fewer than 32 groups end in the middle of an eight; else this adds 0.
${each((rt) => `  store(first_row + a + ${16 * Number(rt[0])}u, first_token + b + ${16 * Number(rt[2])}u, total_${rt} + eight_${rt});`)}
}
`;
}
