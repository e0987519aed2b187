/** copyBlocks: page by page in the order of the list, through a page of scratch, as WebGPU copies nothing within a buffer.
 * The host knows the list, so there is a copy command for each rather than a kernel that follows it. */
import type { Tensor } from '../../../tensor/tensor.ts';
import { checkIndices } from '../../check-indices.ts';
import type { OpArgs } from '../../ops.ts';
import { FLAT_GROUP, flatGrid, look, type OpContext, packParams } from '../op-context.ts';

export function copyBlocks(context: OpContext, { keyCache, valueCache, copies }: OpArgs['copyBlocks']): void {
  const pairs = look(context, [copies], (ints) => {
    checkIndices('copyBlocks copies', ints, keyCache.shape[0]!);
    return [...ints];
  });
  for (let i = 0; i < pairs.length; i += 2) {
    if (pairs[i] === pairs[i + 1]) continue;
    for (const cache of [keyCache, valueCache]) copyPage(context, cache, pairs[i]!, pairs[i + 1]!);
  }
}

function copyPage(context: OpContext, cache: Tensor, source: number, target: number): void {
  const { memory, recorder } = context;
  const pageBytes = cache.byteLength / cache.shape[0]!;
  if (pageBytes === 0) return;
  const buffer = memory.plainBuffer('copyBlocks cache', cache);
  const from = cache.byteOffset + source * pageBytes;
  const to = cache.byteOffset + target * pageBytes;
  // Copy commands move whole words.
  const start = from - (from % 4);
  const byteLength = Math.ceil((from + pageBytes - start) / 4) * 4;
  const scratch = recorder.temporary(byteLength);
  recorder.copy({ buffer, byteOffset: start, byteLength }, scratch, 0);
  const page = { buffer: scratch, byteOffset: from - start, byteLength: pageBytes };
  placeBytes(context, page, buffer, to);
}

/** Copies bytes between two buffers, to and from any byte. */
export function placeBytes(
  { memory, recorder, library }: OpContext,
  source: { readonly buffer: GPUBuffer; readonly byteOffset: number; readonly byteLength: number },
  target: GPUBuffer,
  targetOffset: number,
): void {
  const { byteOffset, byteLength } = source;
  if (byteOffset % 4 === 0 && targetOffset % 4 === 0 && byteLength % 4 === 0) {
    recorder.copy(source, target, targetOffset);
    return;
  }
  const kernel = library.get('copy of bytes', () => ({
    bindings: ['uniform', 'read', 'read_write'],
    code: BYTES_CODE,
  }));
  const from = memory.bindRange(source.buffer, byteOffset, byteLength);
  const to = memory.bindRange(target, targetOffset, byteLength);
  recorder.dispatch(kernel, {
    params: packParams([byteLength, byteOffset - from.byteOffset, targetOffset - to.byteOffset]),
    storage: [from, to],
    workgroups: flatGrid(Math.ceil(byteLength / THREADS)),
  });
}

const THREADS = 64;

/** Neighbouring bytes of a word may belong to two threads, or to nobody here. */
const BYTES_CODE = /* wgsl */ `
struct Params { count: u32, source_start: u32, target_start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> destination: array<atomic<u32>>;
${FLAT_GROUP}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * ${THREADS}u + lane;
  if (i >= p.count) { return; }
  let read_at = p.source_start + i;
  let byte = (source[read_at >> 2u] >> ((read_at & 3u) * 8u)) & 255u;
  let write_at = p.target_start + i;
  let shift = (write_at & 3u) * 8u;
  atomicAnd(&destination[write_at >> 2u], ~(255u << shift));
  atomicOr(&destination[write_at >> 2u], byte << shift);
}
`;
