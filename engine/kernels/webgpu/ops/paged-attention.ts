/** pagedAttention: one workgroup per query row and head walks the keys in tiles of 64 and keeps a running softmax.
 *
 *   keys      0 ........ 63 | 64 ....... 127 | 128 ... p        tiles begin at multiples of 64, whatever the window
 *   tile 1    each thread one key: score; then the tile's largest score m and the sum of e^(score - m)
 *             each thread some of the D outputs: what was summed before is scaled by e^(old m - new m)
 *
 * The order of every sum depends on key positions alone: not on pages, chunks, or who else is in the batch (law 2).
 * Source  Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"; Dao et al. 2022, "FlashAttention" */
import { checkPages } from '../../check-indices.ts';
import type { OpArgs } from '../../ops.ts';
import { type OpContext, packParams } from '../op-context.ts';
import { KV_FORMATS, type KvDType } from './kv-formats.ts';
import { TANH_CODE } from './tanh.ts';

/** Threads of a workgroup, and keys of a tile. */
const TILE = 64;

/** Stands for "no sliding window": no position is so large. */
const NO_WINDOW = 0xffff_ffff;

export function pagedAttention({ memory, recorder, library }: OpContext, args: OpArgs['pagedAttention']): void {
  const { q, keyCache, valueCache, blockTables, queryStartLoc, seqLens, scale, slidingWindow, softCap, out } = args;
  const [numTokens, numHeads, headDim] = q.shape as [number, number, number];
  const [numBlocks, numKvHeads, blockSize] = keyCache.shape as [number, number, number, number];
  const [numSeqs, maxBlocks] = blockTables.shape as [number, number];
  const tables = { blockTables, queryStartLoc, seqLens };
  checkPages({
    blockTables: memory.intsOf(blockTables),
    queryStartLoc: memory.intsOf(queryStartLoc),
    seqLens: memory.intsOf(seqLens),
    numTokens,
    numBlocks,
    blockSize,
    window: slidingWindow ?? Number.POSITIVE_INFINITY,
  });
  const numRows = memory.intsOf(queryStartLoc)[numSeqs]!;
  if (headDim === 0 || numHeads === 0 || numRows === 0) return;
  const dtypes = [keyCache.dtype, valueCache.dtype] as [KvDType, KvDType];
  const hasSoftCap = softCap !== undefined;
  const variant = { dtypes, headDim, hasSoftCap };
  const kernel = library.get(labelOf(variant), () => ({
    bindings: ['uniform', 'read', 'read', 'read', 'read', 'read', 'read', 'read_write'],
    code: codeOf(variant),
  }));
  const [query, output] = [memory.bind(q), memory.bind(out)];
  const [tableSlice, startSlice, lengthSlice] = Object.values(tables).map((tensor) => memory.bind(tensor)) as [
    ReturnType<typeof memory.bind>,
    ReturnType<typeof memory.bind>,
    ReturnType<typeof memory.bind>,
  ];
  recorder.dispatch(kernel, {
    params: packParams(
      [
        numSeqs,
        numHeads,
        numKvHeads,
        blockSize,
        maxBlocks,
        Math.min(slidingWindow ?? NO_WINDOW, NO_WINDOW),
        query.wordOffset,
        tableSlice.wordOffset,
        startSlice.wordOffset,
        lengthSlice.wordOffset,
        output.wordOffset,
        headDim,
      ],
      [scale, softCap ?? 0],
    ),
    storage: [query, memory.bind(keyCache), memory.bind(valueCache), tableSlice, startSlice, lengthSlice, output],
    workgroups: [numHeads, numRows, 1],
  });
}

interface Variant {
  /** Of the keys and of the values. */
  readonly dtypes: readonly [KvDType, KvDType];
  readonly headDim: number;
  readonly hasSoftCap: boolean;
}

/** The head dimension as the kernel sees it: a constant for those that real models have, so that loops over it can be
 * unrolled, and a parameter for the rest. */
function headDimCode({ headDim }: Variant): string {
  return headDim % 32 === 0 ? `${headDim}u` : 'p.head_dim';
}

/** Outputs that a thread keeps in registers: lane, lane + TILE, ... */
function outputsPerThread({ headDim }: Variant): number {
  return Math.ceil(headDim / TILE);
}

function labelOf(variant: Variant): string {
  const heads = `${headDimCode(variant)}, ${outputsPerThread(variant)} a thread`;
  return `pagedAttention ${variant.dtypes.join('/')} of ${heads}${variant.hasSoftCap ? ' capped' : ''}`;
}

function codeOf(variant: Variant): string {
  const { dtypes, hasSoftCap } = variant;
  const numOutputs = outputsPerThread(variant);
  return /* wgsl */ `
const TILE = ${TILE}u;
const LOWEST = -3.4028234e38;

struct Params {
  seqs: u32, heads: u32, kv_heads: u32, block_size: u32, max_blocks: u32, window: u32,
  q_start: u32, tables_start: u32, starts_start: u32, lengths_start: u32, out_start: u32, head_dim: u32,
  scale: f32, soft_cap: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> key: array<u32>;
@group(0) @binding(3) var<storage, read> value: array<u32>;
@group(0) @binding(4) var<storage, read> block_tables: array<u32>;
@group(0) @binding(5) var<storage, read> query_start_loc: array<u32>;
@group(0) @binding(6) var<storage, read> seq_lens: array<u32>;
@group(0) @binding(7) var<storage, read_write> output: array<f32>;

fn head_dim() -> u32 { return ${headDimCode(variant)}; }

var<workgroup> query: array<f32, ${numOutputs * TILE}>;
/** Of the tile's keys: where each lies in the cache, in rows, and its part of the softmax. */
var<workgroup> rows: array<u32, TILE>;
var<workgroup> weights: array<f32, TILE>;
var<workgroup> partial: array<f32, TILE>;
${KV_FORMATS[dtypes[0]].readCode('key')}${KV_FORMATS[dtypes[1]].readCode('value')}${hasSoftCap ? TANH_CODE : ''}
fn score_of(row: u32) -> f32 {
  var dot = 0.0;
  for (var d = 0u; d < head_dim(); d++) { dot = fma(query[d], key_at(row, d), dot); }
  let score = dot * p.scale;
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
  var seq = 0u;
  while (query_start_loc[p.starts_start + seq + 1u] <= token) { seq++; }
  let length = seq_lens[p.lengths_start + seq];
  let last_query = query_start_loc[p.starts_start + seq + 1u];
  let row_start = (token * p.heads + head) * head_dim();
  // One past the last key that this query sees; 0 for a padding sequence.
  var end = 0u;
  if (length > 0u) { end = length - (last_query - token) + 1u; }
  let begin = end - min(end, p.window);

  for (var d = lane; d < head_dim(); d += TILE) { query[d] = q[p.q_start + row_start + d]; }
  workgroupBarrier();
  var largest = LOWEST;
  var sum = 0.0;
  var outputs: array<f32, ${numOutputs}>;
  for (var tile = begin / TILE * TILE; tile < end; tile += TILE) {
    let position = tile + lane;
    let is_seen = position >= begin && position < end;
    var score = LOWEST;
    if (is_seen) {
      let block = block_tables[p.tables_start + seq * p.max_blocks + position / p.block_size];
      let row = (block * p.kv_heads + kv_head) * p.block_size + position % p.block_size;
      rows[lane] = row;
      score = score_of(row);
    }
    let new_largest = max(largest, largest_of(score, lane));
    weights[lane] = select(0.0, exp(score - new_largest), is_seen);
    workgroupBarrier();
    let correction = exp(largest - new_largest);
    largest = new_largest;
    sum *= correction;
    for (var o = 0u; o < ${numOutputs}u; o++) { outputs[o] *= correction; }
    let first = max(tile, begin) - tile;
    let count = min(TILE, end - tile);
    for (var i = first; i < count; i++) {
      let weight = weights[i];
      sum += weight;
      for (var o = 0u; o < ${numOutputs}u; o++) {
        let d = lane + o * TILE;
        if (d < head_dim()) { outputs[o] = fma(weight, value_at(rows[i], d), outputs[o]); }
      }
    }
    workgroupBarrier();
  }
  let factor = select(0.0, 1.0 / sum, end > 0u);
  for (var o = 0u; o < ${numOutputs}u; o++) {
    let d = lane + o * TILE;
    if (d < head_dim()) { output[p.out_start + row_start + d] = outputs[o] * factor; }
  }
}
`;
}
