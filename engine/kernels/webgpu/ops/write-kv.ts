/** writeKv: one thread per element (per quant block for q8_0) of each token's key, then the same for the values. */
import type { Tensor } from '../../../tensor/tensor.ts';
import { checkSlots } from '../../check-indices.ts';
import type { OpArgs } from '../../ops.ts';
import { checkInts, FLAT_GROUP, flatGrid, type OpContext, packParams } from '../op-context.ts';
import { KV_FORMATS, type KvDType } from './kv-formats.ts';

const THREADS = 64;

export function writeKv(context: OpContext, { k, v, keyCache, valueCache, slotMapping }: OpArgs['writeKv']): void {
  const [numBlocks, , blockSize] = keyCache.shape as [number, number, number, number];
  checkInts(context, slotMapping, (ints) => checkSlots(ints, numBlocks * blockSize));
  writeRows(context, k, keyCache, slotMapping);
  writeRows(context, v, valueCache, slotMapping);
}

function writeRows({ memory, recorder, library }: OpContext, rows: Tensor, cache: Tensor, slotMapping: Tensor): void {
  const [numTokens, numKvHeads, headDim] = rows.shape as [number, number, number];
  const dtype = cache.dtype as KvDType;
  const unitsPerRow = headDim / KV_FORMATS[dtype].elementsPerWrite;
  const count = numTokens * numKvHeads * unitsPerRow;
  const [input, slots, pages] = [memory.bind(rows), memory.bind(slotMapping), memory.bind(cache)];
  const kernel = library.get(`writeKv ${dtype}`, () => ({
    bindings: ['uniform', 'read', 'read', 'read_write'],
    code: codeOf(dtype),
  }));
  recorder.dispatch(kernel, {
    params: packParams([count, unitsPerRow, numKvHeads, cache.shape[2]!, headDim, input.wordOffset, slots.wordOffset]),
    storage: [input, slots, pages],
    workgroups: flatGrid(Math.ceil(count / THREADS)),
  });
}

function codeOf(dtype: KvDType): string {
  const { writeCode, elementsPerWrite } = KV_FORMATS[dtype];
  return /* wgsl */ `
struct Params {
  count: u32, units_per_row: u32, kv_heads: u32, block_size: u32, head_dim: u32, input_start: u32, slots_start: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> slots: array<i32>;
@group(0) @binding(3) var<storage, read_write> cache: array<atomic<u32>>;
${FLAT_GROUP}${writeCode}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * ${THREADS}u + lane;
  if (i >= p.count) { return; }
  let unit = i % p.units_per_row;
  let head = (i / p.units_per_row) % p.kv_heads;
  let token = i / p.units_per_row / p.kv_heads;
  let slot = slots[p.slots_start + token];
  if (slot < 0) { return; }
  let block = u32(slot) / p.block_size;
  let row = (block * p.kv_heads + head) * p.block_size + u32(slot) % p.block_size;
  store(row, unit, p.input_start + (token * p.kv_heads + head) * p.head_dim + unit * ${elementsPerWrite}u);
}
`;
}
