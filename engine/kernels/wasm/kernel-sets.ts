/** Which kernels there are, in sets of what is needed together: a model compiles those of its formats and no others. */
import { KV_DTYPES } from '../ops.ts';
import type { FunctionBuilder } from './emitter/function-builder.ts';
import type { Features } from './generators/arithmetic.ts';
import { clearAttention, copyQueries } from './generators/attention-begin.ts';
import { finishAttention, mergeAttention } from './generators/attention-merge.ts';
import type { StripDType } from './generators/attention-rows.ts';
import { attentionScores } from './generators/attention-scores.ts';
import { MAX_GROUP, SMALL_GROUP } from './generators/attention-scratch.ts';
import { attentionSection } from './generators/attention-section.ts';
import { attentionSoftmax } from './generators/attention-softmax.ts';
import { attentionValues } from './generators/attention-values.ts';
import { add, geluMul, siluMul } from './generators/elementwise.ts';
import { findAbove } from './generators/find-above.ts';
import { layKeyLevels, layValueLevels } from './generators/lay-levels.ts';
import { layerNorm } from './generators/layer-norm.ts';
import { rowMax, sumOfExponentials } from './generators/log-sum-exp.ts';
import { quantizeToI16 } from './generators/pack-activations.ts';
import { rmsNorm } from './generators/rms-norm.ts';
import { rope } from './generators/rope.ts';
import { ROW_FORMATS } from './generators/row-formats.ts';
import { scaleFloats } from './generators/scale-floats.ts';
import { highest, sumOfWideExponentials } from './generators/softmax-sums.ts';
import {
  hasSpecialHalves,
  storeLaneF16,
  storeLaneF32,
  storeLaneQ8,
  storeRowF16,
  storeRowQ8,
  storeValueF16,
  storeValueF32,
  storeValueQ8,
} from './generators/store-kv.ts';
import { touchPages } from './generators/touch-pages.ts';
import { widenRows, widenStripF16 } from './generators/widen-kv.ts';
import type { KernelSet } from './kernel-module.ts';
import { PACKED_FORMATS } from './packing/format-registry.ts';

type Generate = (features: Features) => readonly FunctionBuilder[];

/** What attention over pages of all dtypes needs; softmax for each number of queries that may go together. */
const allPages: Generate = (features) => [
  ...upTo(MAX_GROUP).map((numQueries) => attentionSoftmax(numQueries, features)),
  clearAttention(),
  mergeAttention(features),
  finishAttention(),
];

const PAGES: { readonly [DType in (typeof KV_DTYPES)[number]]: Generate } = {
  f32: (features) => [...walkers('f32', MAX_GROUP, features), scaleFloats(), storeLaneF32(), storeValueF32()],
  f16: (features) => [
    ...walkers('f16', SMALL_GROUP, features),
    widenStripF16(features),
    storeLaneF16(),
    storeRowF16(),
    storeValueF16(),
    hasSpecialHalves(),
  ],
  q8_0: (features) => [
    ...walkers('q8_0', MAX_GROUP, features),
    quantizeToI16(),
    layKeyLevels(),
    layValueLevels(),
    storeLaneQ8(),
    storeRowQ8(),
    storeValueQ8(),
  ],
};

const SETS: ReadonlyMap<KernelSet, readonly Generate[]> = new Map<KernelSet, readonly Generate[]>([
  ['common', [commonKernels]],
  ...KV_DTYPES.map((dtype) => [`pages ${dtype}`, [allPages, PAGES[dtype]]] as const),
  ...PACKED_FORMATS.map(({ dtype, kernels }) => [`weights ${dtype}`, [kernels]] as const),
]);

export const ALL_SETS: readonly KernelSet[] = [...SETS.keys()];

/** The functions of the sets, each once. */
export function kernelFunctions(sets: readonly KernelSet[], features: Features): readonly FunctionBuilder[] {
  const parts = new Set(sets.flatMap((set) => SETS.get(set)!));
  const functions = [...parts].flatMap((generate) => generate(features));
  return [...new Map(functions.map((fn) => [fn.name, fn])).values()];
}

function commonKernels(features: Features): readonly FunctionBuilder[] {
  return [
    add(),
    siluMul(features),
    geluMul(features),
    rmsNorm(features),
    layerNorm(features),
    rope(),
    rowMax(),
    findAbove(),
    touchPages(),
    highest(),
    sumOfWideExponentials(features),
    sumOfExponentials(features),
    ...Object.values(ROW_FORMATS).map(widenRows),
  ];
}

/** Attention's two products, for each number of queries that may go together, the walk of a few over a section, and what brings
 * them together before. */
function walkers(dtype: StripDType, maxQueries: number, features: Features): FunctionBuilder[] {
  const products = upTo(maxQueries).flatMap((numQueries) => [
    attentionScores(dtype, numQueries, features),
    attentionValues(dtype, numQueries, features),
  ]);
  return [...products, attentionSection(dtype), copyQueries(dtype)];
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}
