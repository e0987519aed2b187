/** Ops that pick rows: embed and gatherRows. */
import { checkIndices } from '../../check-indices.ts';
import type { OpArgs } from '../../ops.ts';
import { checkInts, FLAT_GROUP, flatGrid, type OpContext, packParams } from '../op-context.ts';
import { GROUP_SIZE, type WeightFormat } from '../weight-formats/index.ts';
import { weightParts } from '../weight-views.ts';

const THREADS = 64;

/** One thread per group of 32 weights of a row, or per weight where rows are not made of groups. A weight that lies in
 * several buffers takes a dispatch for each; tokens whose row is elsewhere are passed over. */
export function embed(context: OpContext, { tokenIds, weight, out }: OpArgs['embed']): void {
  const { memory, recorder, library } = context;
  const [vocabSize, width] = weight.shape as [number, number];
  checkInts(context, tokenIds, (ints) => checkIndices('embed tokenIds', ints, vocabSize));
  const [ids, output] = [memory.bind(tokenIds), memory.bind(out)];
  const numTokens = tokenIds.numElements;
  for (const part of weightParts(memory, weight)) {
    const { format, hasGroups } = part;
    const kernel = library.get(`embed ${format.name}${hasGroups ? '' : ' by element'}`, () => ({
      bindings: ['uniform', 'read', 'read', 'read_write'],
      code: embedCode(format, hasGroups),
    }));
    const unitsPerRow = hasGroups ? width / GROUP_SIZE : width;
    recorder.dispatch(kernel, {
      params: packParams([
        unitsPerRow,
        numTokens,
        part.firstRow,
        part.numRows,
        part.rowInBuffer,
        part.wordOffset,
        part.scalesStart,
        ids.wordOffset,
        output.wordOffset,
      ]),
      storage: [part.slice, ids, output],
      workgroups: flatGrid(Math.ceil((numTokens * unitsPerRow) / THREADS)),
    });
  }
}

function embedCode({ groupCode, elementCode }: WeightFormat, hasGroups: boolean): string {
  const body = hasGroups
    ? /* wgsl */ `
  let weights = load_group(p.row_in_buffer + row, unit);
  for (var j = 0u; j < 8u; j++) {
    let at = p.out_start + (token * p.groups_per_row + unit) * 32u + 4u * j;
    let values = group_vec4(weights, j);
    for (var c = 0u; c < 4u; c++) { output[at + c] = values[c]; }
  }`
    : /* wgsl */ `
  let element = (p.row_in_buffer + row) * p.groups_per_row + unit;
  output[p.out_start + token * p.groups_per_row + unit] = weight_at(p.weight_start + element);`;
  return /* wgsl */ `
struct Params {
  groups_per_row: u32, tokens: u32, first_row: u32, rows: u32, row_in_buffer: u32,
  weight_start: u32, scales_start: u32, ids_start: u32, out_start: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<${hasGroups ? 'vec4<u32>' : 'u32'}>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
${FLAT_GROUP}${hasGroups ? groupCode : elementCode!}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * ${THREADS}u + lane;
  let token = i / p.groups_per_row;
  let unit = i % p.groups_per_row;
  if (token >= p.tokens) { return; }
  let row = ids[p.ids_start + token] - p.first_row;
  // Rows before the first wrap around to huge numbers.
  if (row >= p.rows) { return; }
${body}
}
`;
}

/** One thread per element. */
export function gatherRows(context: OpContext, { x, rows, out }: OpArgs['gatherRows']): void {
  const { memory, recorder, library } = context;
  const [numRows, width] = x.shape as [number, number];
  checkInts(context, rows, (ints) => checkIndices('gatherRows rows', ints, numRows));
  const [source, indices, output] = [memory.bind(x), memory.bind(rows), memory.bind(out)];
  const kernel = library.get('gatherRows', () => ({
    bindings: ['uniform', 'read', 'read', 'read_write'],
    code: GATHER_CODE,
  }));
  recorder.dispatch(kernel, {
    params: packParams([out.numElements, width, source.wordOffset, indices.wordOffset, output.wordOffset]),
    storage: [source, indices, output],
    workgroups: flatGrid(Math.ceil(out.numElements / THREADS)),
  });
}

const GATHER_CODE = /* wgsl */ `
struct Params { count: u32, width: u32, x_start: u32, rows_start: u32, out_start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<u32>;
${FLAT_GROUP}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * ${THREADS}u + lane;
  if (i >= p.count) { return; }
  let row = rows[p.rows_start + i / p.width];
  output[p.out_start + i] = x[p.x_start + row * p.width + i % p.width];
}
`;
