/** The WGSL of attention: a workgroup walks keys in tiles of 64 and keeps a running softmax.
 *
 *   section    | 0 .............................. 511 | 512 ...        each has a running softmax of its own
 *   tiles      | 0 .... 63 | 64 .... 127 | 128 ... p                   begin at multiples of 64, whatever the window
 *     each thread one key: score; then the tile's largest score m and the sum of e^(score - m)
 *     each thread some of the D outputs: what was summed before is scaled by e^(old m - new m)
 *
 * Merging two sections is the same step: both are scaled to the larger of their two largest scores, and added.
 * Source  Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"; Dao et al. 2022, "FlashAttention" */
import { KV_FORMATS, type KvDType, type KvFormat } from './kv-formats.ts';
import { TANH_CODE } from './tanh.ts';

/** Threads of a workgroup, and keys of a tile. Sections are whole tiles. */
export const ATTENTION_TILE = 64;
const TILE = ATTENTION_TILE;

export interface AttentionVariant {
  /** Of the keys and of the values. */
  readonly dtypes: readonly [KvDType, KvDType];
  readonly headDim: number;
  readonly hasSoftCap: boolean;
  /** Positions of a section; a multiple of `ATTENTION_TILE`. */
  readonly sectionSize: number;
  /** A workgroup does one section and leaves it to be merged; else all. */
  readonly isSplit: boolean;
}

/** The head dimension as the kernel sees it: a constant for those that real models have, so that loops over it can be
 * unrolled, and a parameter for the rest. */
function headDimCode({ headDim }: AttentionVariant): string {
  return headDim % 32 === 0 ? `${headDim}u` : 'p.head_dim';
}

/** Outputs that a thread keeps in registers: lane, lane + TILE, ... */
function outputsPerThread({ headDim }: AttentionVariant): number {
  return Math.ceil(headDim / TILE);
}

export function labelOf(variant: AttentionVariant): string {
  const heads = `${headDimCode(variant)}, ${outputsPerThread(variant)} a thread`;
  const { dtypes, hasSoftCap, isSplit } = variant;
  return `pagedAttention ${dtypes.join('/')} of ${heads}${hasSoftCap ? ' capped' : ''}${isSplit ? ', split' : ''}`;
}

const PARAMS = /* wgsl */ `
const TILE = ${TILE}u;
const LOWEST = -3.4028234e38;

struct Params {
  heads: u32, kv_heads: u32, block_size: u32, max_blocks: u32, window: u32,
  q_start: u32, tables_start: u32, starts_start: u32, lengths_start: u32, out_start: u32, head_dim: u32, sections: u32,
  scale: f32, soft_cap: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
`;

/** The keys that a query row sees, and a running softmax over them. */
function commonCode(variant: AttentionVariant): string {
  const numOutputs = outputsPerThread(variant);
  return /* wgsl */ `
const SECTION = ${variant.sectionSize}u;
fn head_dim() -> u32 { return ${headDimCode(variant)}; }

struct Seen { seq: u32, begin: u32, end: u32 }

/** Ends at 0 for a padding sequence. */
fn seen_by(token: u32) -> Seen {
  var seq = 0u;
  while (query_start_loc[p.starts_start + seq + 1u] <= token) { seq++; }
  let length = seq_lens[p.lengths_start + seq];
  let last_query = query_start_loc[p.starts_start + seq + 1u];
  var end = 0u;
  if (length > 0u) { end = length - (last_query - token) + 1u; }
  return Seen(seq, end - min(end, p.window), end);
}

struct Softmax { largest: f32, sum: f32, outputs: array<f32, ${numOutputs}> }

fn merged(a: Softmax, b: Softmax) -> Softmax {
  var result: Softmax;
  result.largest = max(a.largest, b.largest);
  let scale_a = exp(a.largest - result.largest);
  let scale_b = exp(b.largest - result.largest);
  result.sum = fma(b.sum, scale_b, a.sum * scale_a);
  for (var o = 0u; o < ${numOutputs}u; o++) { result.outputs[o] = fma(b.outputs[o], scale_b, a.outputs[o] * scale_a); }
  return result;
}

fn store(softmax: Softmax, row_start: u32, lane: u32, end: u32) {
  let factor = select(0.0, 1.0 / softmax.sum, end > 0u);
  for (var o = 0u; o < ${numOutputs}u; o++) {
    let d = lane + o * TILE;
    if (d < head_dim()) { output[p.out_start + row_start + d] = softmax.outputs[o] * factor; }
  }
}

/** Where the partial result of a section lies: its largest score, its sum, and its outputs. */
fn partial_start(token: u32, head: u32, section: u32) -> u32 {
  return ((token * p.heads + head) * p.sections + section) * (2u + head_dim());
}
`;
}

export function attentionCode(variant: AttentionVariant): string {
  const { dtypes, hasSoftCap, isSplit } = variant;
  const numOutputs = outputsPerThread(variant);
  const vectors = keyVectors(variant);
  return /* wgsl */ `${PARAMS}
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> key: array<${vectors?.type ?? 'u32'}>;
@group(0) @binding(3) var<storage, read> value: array<u32>;
@group(0) @binding(4) var<storage, read> block_tables: array<u32>;
@group(0) @binding(5) var<storage, read> query_start_loc: array<u32>;
@group(0) @binding(6) var<storage, read> seq_lens: array<u32>;
@group(0) @binding(7) var<storage, read_write> output: array<f32>;
${commonCode(variant)}
var<workgroup> query: array<${vectors === undefined ? `f32, ${numOutputs * TILE}` : `vec4<f32>, ${(numOutputs * TILE) / 4}`}>;
/** Of the tile's keys: where each lies in the cache, in rows, and its part of the softmax. */
var<workgroup> rows: array<u32, TILE>;
var<workgroup> weights: array<f32, TILE>;
var<workgroup> partial: array<f32, TILE>;
${(vectors ?? KV_FORMATS[dtypes[0]]).readCode('key')}${KV_FORMATS[dtypes[1]].readCode('value')}${hasSoftCap ? TANH_CODE : ''}
${vectors === undefined ? DOT_OF_ELEMENTS : DOT_OF_VECTORS}
fn score_of(row: u32) -> f32 {
  let score = dot_of(row) * p.scale;
  return ${hasSoftCap ? 'p.soft_cap * tanh_safe(score / p.soft_cap)' : 'score'};
}

fn largest_of(own: f32, lane: u32) -> f32 {
  partial[lane] = own;
  workgroupBarrier();
  for (var stride = TILE / 2u; stride > 0u; stride >>= 1u) {
    if (lane < stride) { partial[lane] = max(partial[lane], partial[lane + stride]); }
    workgroupBarrier();
  }
  let result = partial[0];
  workgroupBarrier();
  return result;
}

@compute @workgroup_size(${TILE})
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = id.x;
  let token = id.y;
  let kv_head = head / (p.heads / p.kv_heads);
  let seen = seen_by(token);
  let row_start = (token * p.heads + head) * head_dim();
  load_query(row_start, lane);
  workgroupBarrier();
${isSplit ? '  let first = id.z * SECTION;\n  let past = min(first + SECTION, seen.end);' : '  let first = seen.begin / SECTION * SECTION;\n  let past = seen.end;'}
  var all = Softmax(LOWEST, 0.0, array<f32, ${numOutputs}>());
  for (var section = first; section < past; section += SECTION) {
    var own = Softmax(LOWEST, 0.0, array<f32, ${numOutputs}>());
    let section_end = min(section + SECTION, seen.end);
    for (var tile = max(section, seen.begin / TILE * TILE); tile < section_end; tile += TILE) {
      let position = tile + lane;
      let is_seen = position >= seen.begin && position < seen.end;
      var score = LOWEST;
      if (is_seen) {
        let block = block_tables[p.tables_start + seen.seq * p.max_blocks + position / p.block_size];
        let row = (block * p.kv_heads + kv_head) * p.block_size + position % p.block_size;
        rows[lane] = row;
        score = score_of(row);
      }
      let new_largest = max(own.largest, largest_of(score, lane));
      weights[lane] = select(0.0, exp(score - new_largest), is_seen);
      workgroupBarrier();
      let correction = exp(own.largest - new_largest);
      own.largest = new_largest;
      own.sum *= correction;
      for (var o = 0u; o < ${numOutputs}u; o++) { own.outputs[o] *= correction; }
      let first_key = max(tile, seen.begin) - tile;
      let count = min(TILE, seen.end - tile);
      for (var i = first_key; i < count; i++) {
        let weight = weights[i];
        own.sum += weight;
        for (var o = 0u; o < ${numOutputs}u; o++) {
          let d = lane + o * TILE;
          if (d < head_dim()) { own.outputs[o] = fma(weight, value_at(rows[i], d), own.outputs[o]); }
        }
      }
      workgroupBarrier();
    }
    ${isSplit ? 'all = own;' : 'all = merged(all, own);'}
  }
${isSplit ? leavePartial(numOutputs) : '  store(all, row_start, lane, seen.end);'}
}
`;
}

/** How keys are read four at a time, where they can be. */
function keyVectors({ dtypes, headDim }: AttentionVariant): KvFormat['vectors'] {
  return headDim % 32 === 0 ? KV_FORMATS[dtypes[0]].vectors : undefined;
}

const DOT_OF_ELEMENTS = /* wgsl */ `
fn load_query(row_start: u32, lane: u32) {
  for (var d = lane; d < head_dim(); d += TILE) { query[d] = q[p.q_start + row_start + d]; }
}

fn dot_of(row: u32) -> f32 {
  var dot = 0.0;
  for (var d = 0u; d < head_dim(); d++) { dot = fma(query[d], key_at(row, d), dot); }
  return dot;
}
`;

const DOT_OF_VECTORS = /* wgsl */ `
fn load_query(row_start: u32, lane: u32) {
  for (var j = lane; j < head_dim() / 4u; j += TILE) {
    let at = p.q_start + row_start + 4u * j;
    query[j] = vec4<f32>(q[at], q[at + 1u], q[at + 2u], q[at + 3u]);
  }
}

fn dot_of(row: u32) -> f32 {
  var dot = vec4<f32>(0.0);
  // A bound that compilers do not know: unrolled, this loop takes one of them 10 s for heads of 128.
  for (var j = 0u; j < p.head_dim / 4u; j++) { dot = fma(query[j], key_vec4(row, j), dot); }
  return (dot.x + dot.z) + (dot.y + dot.w);
}
`;

/** Sections that the row does not see are not read either. */
function leavePartial(numOutputs: number): string {
  return /* wgsl */ `
  if (first >= past || first + SECTION <= seen.begin) { return; }
  let at = partial_start(token, head, id.z);
  if (lane == 0u) {
    output[at] = all.largest;
    output[at + 1u] = all.sum;
  }
  for (var o = 0u; o < ${numOutputs}u; o++) {
    let d = lane + o * TILE;
    if (d < head_dim()) { output[at + 2u + d] = all.outputs[o]; }
  }`;
}

/** One workgroup per row and head adds up its sections. */
export function mergeCode(variant: AttentionVariant): string {
  const numOutputs = outputsPerThread(variant);
  return /* wgsl */ `${PARAMS}
@group(0) @binding(1) var<storage, read> partial: array<f32>;
@group(0) @binding(2) var<storage, read> query_start_loc: array<u32>;
@group(0) @binding(3) var<storage, read> seq_lens: array<u32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
${commonCode(variant)}
@compute @workgroup_size(${TILE})
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let seen = seen_by(id.y);
  var all = Softmax(LOWEST, 0.0, array<f32, ${numOutputs}>());
  for (var section = seen.begin / SECTION; section * SECTION < seen.end; section++) {
    let at = partial_start(id.y, id.x, section);
    var own = Softmax(partial[at], partial[at + 1u], array<f32, ${numOutputs}>());
    for (var o = 0u; o < ${numOutputs}u; o++) {
      let d = lane + o * TILE;
      if (d < head_dim()) { own.outputs[o] = partial[at + 2u + d]; }
    }
    all = merged(all, own);
  }
  store(all, (id.y * p.heads + id.x) * head_dim(), lane, seen.end);
}
`;
}
