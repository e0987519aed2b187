/** All kernels as one WebAssembly module, and the types of what it exports. */
import type { FunctionBuilder } from './emitter/function-builder.ts';
import type { Features } from './generators/arithmetic.ts';
import { finishAttention, mergeAttention } from './generators/attention-merge.ts';
import type { StripDType } from './generators/attention-rows.ts';
import { attentionScores } from './generators/attention-scores.ts';
import { MAX_GROUP, SMALL_GROUP } from './generators/attention-scratch.ts';
import { attentionSoftmax } from './generators/attention-softmax.ts';
import { attentionValues } from './generators/attention-values.ts';
import { add, geluMul, siluMul } from './generators/elementwise.ts';
import { findAbove } from './generators/find-above.ts';
import { layerNorm } from './generators/layer-norm.ts';
import { rowMax, sumOfExponentials } from './generators/log-sum-exp.ts';
import { matmulBf16, matmulF16, matmulF32 } from './generators/matmul-float.ts';
import { matmulQ4K, matmulQ5K, matmulQ6K } from './generators/matmul-k-quants.ts';
import { matmulQ4 } from './generators/matmul-q4-0.ts';
import { matmulQ8 } from './generators/matmul-q8-0.ts';
import { matmulTile, type TileFormat, type TileShape, unpackRecords } from './generators/matmul-tile.ts';
import { quantizeToI8, quantizeToI16, spreadFloats } from './generators/pack-activations.ts';
import { packQ4KRow, packQ5KRow, packQ6KRow } from './generators/pack-k-quants.ts';
import { packBf16Row, packF16Row, packF32Row, packQ4Row, packQ8Row } from './generators/pack-weights.ts';
import { quantizeToK } from './generators/quantize-k.ts';
import { rmsNorm } from './generators/rms-norm.ts';
import { rope } from './generators/rope.ts';
import { ROW_FORMATS } from './generators/row-formats.ts';
import { highest, sumOfWideExponentials } from './generators/softmax-sums.ts';
import {
  storeLaneF16,
  storeLaneF32,
  storeLaneQ8,
  storeRowF16,
  storeRowQ8,
  storeValueF16,
  storeValueF32,
  storeValueQ8,
} from './generators/store-kv.ts';
import { widenKeysQ8, widenRows, widenStripF16, widenValuesQ8 } from './generators/widen-kv.ts';
import { TILE_TOKENS } from './packing/activation-layout.ts';

import { type WasmMemory, type WasmModule, WebAssemblyApi } from './web-assembly.ts';

/** Every tile of 1 to 4 tokens, by one group of weight rows and by two where the format has such kernels. */
function tileShapes(format: TileFormat): TileShape[] {
  return Array.from({ length: TILE_TOKENS }, (_, i) => i + 1).flatMap((tokens) =>
    format.groups.map((groups) => ({ tokens, groups })),
  );
}

/** Only full tiles are worth it. */
function unpackedKernels(format: TileFormat, features: Features): FunctionBuilder[] {
  if (format.unpacking === undefined) return [];
  const groups = features.isPaired === false ? 1 : format.unpacking.groups;
  return [
    unpackRecords(format, features),
    matmulTile(format, { tokens: TILE_TOKENS, groups, isUnpacked: true }, features),
  ];
}

/** A kernel: takes addresses, counts and scales as its generator says. */
export type Kernel = (...args: number[]) => number;

/** Kernels by name. */
export type Kernels = Readonly<Record<string, Kernel>>;

export function kernelFunctions(features: Features): readonly FunctionBuilder[] {
  const formats = [matmulQ8, matmulQ4, matmulQ4K, matmulQ5K, matmulQ6K, matmulF32, matmulF16, matmulBf16];
  return [
    ...formats.flatMap((format) => tileShapes(format).map((shape) => matmulTile(format, shape, features))),
    ...formats.flatMap((format) => unpackedKernels(format, features)),
    quantizeToI16(),
    quantizeToI8(),
    quantizeToK(32),
    quantizeToK(16),
    spreadFloats(),
    packQ8Row(),
    packQ4Row(),
    packQ4KRow(),
    packQ5KRow(),
    packQ6KRow(),
    packF16Row(),
    packBf16Row(),
    packF32Row(),
    add(),
    siluMul(features),
    geluMul(features),
    rmsNorm(features),
    layerNorm(features),
    rope(),
    rowMax(),
    findAbove(),
    highest(),
    sumOfWideExponentials(features),
    sumOfExponentials(features),
    ...Object.values(ROW_FORMATS).map(widenRows),
    widenStripF16(),
    widenKeysQ8(),
    widenValuesQ8(),
    ...attentionKernels(features),
    storeLaneF32(),
    storeLaneF16(),
    storeLaneQ8(),
    storeRowF16(),
    storeRowQ8(),
    storeValueF32(),
    storeValueF16(),
    storeValueQ8(),
  ];
}

/** For each number of queries that may go together. */
function attentionKernels(features: Features): FunctionBuilder[] {
  const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
  const products = (dtype: StripDType, numQueries: number) => [
    attentionScores(dtype, numQueries, features),
    attentionValues(dtype, numQueries, features),
  ];
  return [
    ...upTo(MAX_GROUP).flatMap((n) => [attentionSoftmax(n, features), ...products('f32', n)]),
    ...(['f16', 'q8_0'] as const).flatMap((dtype) => upTo(SMALL_GROUP).flatMap((n) => products(dtype, n))),
    mergeAttention(features),
    finishAttention(),
  ];
}

export function instantiateKernels(module: WasmModule, memory: WasmMemory): Kernels {
  return new WebAssemblyApi.Instance(module, { env: { memory } }).exports as Kernels;
}
