/** rope: one thread per rotated pair. */
import { checkIndices } from '../../check-indices.ts';
import type { OpArgs, RopeStyle } from '../../ops.ts';
import { checkInts, FLAT_GROUP, flatGrid, type OpContext, packParams } from '../op-context.ts';

const THREADS = 64;

export function rope(context: OpContext, { x, positions, table, style }: OpArgs['rope']): void {
  const { memory, recorder, library } = context;
  const [numTokens, numHeads, headDim] = x.shape as [number, number, number];
  const [numPositions, rotaryDim] = table.shape as [number, number];
  checkInts(context, positions, (ints) => checkIndices('rope positions', ints, numPositions));
  const numPairs = rotaryDim / 2;
  const count = numTokens * numHeads * numPairs;
  const [bound, at, angles] = [memory.bind(x), memory.bind(positions), memory.bind(table)];
  const kernel = library.get(`rope ${style}`, () => ({
    bindings: ['uniform', 'read', 'read', 'read_write'],
    code: codeOf(style),
  }));
  recorder.dispatch(kernel, {
    params: packParams([count, numHeads, headDim, numPairs, at.wordOffset, angles.wordOffset, bound.wordOffset]),
    storage: [at, angles, bound],
    workgroups: flatGrid(Math.ceil(count / THREADS)),
  });
}

function codeOf(style: RopeStyle): string {
  const [first, second] = style === 'neox' ? ['pair', 'pair + p.pairs'] : ['2u * pair', '2u * pair + 1u'];
  return /* wgsl */ `
struct Params { count: u32, heads: u32, head_dim: u32, pairs: u32, positions_start: u32, table_start: u32, x_start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
${FLAT_GROUP}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * ${THREADS}u + lane;
  if (i >= p.count) { return; }
  let pair = i % p.pairs;
  let head = i / p.pairs;
  let position = positions[p.positions_start + head / p.heads];
  let angle = p.table_start + (position * p.pairs + pair) * 2u;
  let cosine = table[angle];
  let sine = table[angle + 1u];
  let start = p.x_start + head * p.head_dim;
  let a = x[start + ${first}];
  let b = x[start + ${second}];
  x[start + ${first}] = a * cosine - b * sine;
  x[start + ${second}] = a * sine + b * cosine;
}
`;
}
