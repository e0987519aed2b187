/** Which kernels a model, a weight or an op needs. */
import { isFloatDType } from '../../tensor/dtype.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { MemoryOutline, TensorOutline } from '../memory-outline.ts';
import type { KV_DTYPES, OpArgs, OpName } from '../ops.ts';
import type { KernelSet } from './kernel-module.ts';
import { DEQUANTIZED } from './ops/matmul-dequantized.ts';
import { packingFor } from './packing/choose-packing.ts';
import { type Packing, packingOf } from './wasm-buffer.ts';

/** For all that the model will ask. */
export function kernelsForModel({ units }: MemoryOutline): KernelSet[] {
  const ofUnits = units.flatMap(({ weights, kv }) => [
    ...weights.flatMap(forOutlinedWeight),
    ...kv.flatMap(({ dtype }) => forPages(dtype)),
  ]);
  return [...new Set<KernelSet>(['common', ...ofUnits])];
}

/** Vectors need none of their own. */
function forOutlinedWeight({ dtype, shape }: TensorOutline): KernelSet[] {
  return shape.length === 2 && isFloatDType(dtype) ? [forWeight(packingFor(dtype, shape))] : [];
}

/** For products with a weight, and for packing it. What is not packed is dequantized on the way. */
export function forWeight(packing: Packing | undefined): KernelSet {
  const { dtype } = packing?.format ?? DEQUANTIZED;
  return `weights ${dtype}`;
}

/** Pages of f16 are read as f32, too, where many queries meet them. */
function forPages(dtype: string): KernelSet[] {
  return dtype === 'f16' ? ['pages f32', 'pages f16'] : [`pages ${dtype as (typeof KV_DTYPES)[number]}`];
}

/** The arguments that say it, of ops that are not content with the common ones. */
const WEIGHTS: { readonly [Name in OpName]?: readonly (keyof OpArgs[Name])[] } = {
  matmul: ['weight'],
  gatedMatmul: ['gateWeight', 'upWeight'],
};
const PAGES: { readonly [Name in OpName]?: keyof OpArgs[Name] } = {
  writeKv: 'keyCache',
  pagedAttention: 'keyCache',
};

export function kernelsForOp<Name extends OpName>(op: Name, args: OpArgs[Name]): KernelSet[] {
  const tensor = (name: keyof OpArgs[Name]): Tensor => args[name] as Tensor;
  const weights = (WEIGHTS[op] ?? []).map((name) => forWeight(packingOf(tensor(name))));
  const pages = PAGES[op] === undefined ? [] : forPages(tensor(PAGES[op]).dtype);
  return ['common', ...weights, ...pages];
}
