/** Plans GGUF to GGUF: every key and every tensor is kept, matrices change their format. Knows no architecture. */
import type { GgufValue } from '../../formats/gguf/gguf-value.ts';
import type { GgufFile } from '../../formats/gguf/open-gguf.ts';
import type { StoredTensor } from '../../formats/tensor-file.ts';
import { isFloatDType } from '../tensor/dtype.ts';
import { quantFormat } from '../tensor/quant/quant-registry.ts';
import type { ConversionPlan, PlannedTensor } from './conversion-plan.ts';
import type { QuantizeTarget } from './quantize-target.ts';
import { chooseWeightType, layerOf, type WeightTypeContext } from './weight-type-policy.ts';

/** Of the block formats' layout; 2 since 2023. Source  GGML_QNT_VERSION in ggml.h */
const QUANTIZATION_VERSION = 2;

/** The keys that say what a file was quantized to. */
export function quantizationKeys(target: QuantizeTarget): [string, GgufValue][] {
  return [
    ['general.file_type', { type: 'uint32', value: target.fileType }],
    ['general.quantization_version', { type: 'uint32', value: QUANTIZATION_VERSION }],
  ];
}

export function planGguf(file: GgufFile, target: QuantizeTarget, isPure: boolean): ConversionPlan {
  const tensors = [...file.tensors.values()];
  const context: WeightTypeContext = {
    target,
    isPure,
    isTied: !file.tensors.has('output.weight'),
    numLayers: countLayers(tensors),
  };
  const metadata = new Map(file.metadata);
  // The output is one file.
  for (const key of ['split.no', 'split.count', 'split.tensors.count']) metadata.delete(key);
  for (const [key, value] of quantizationKeys(target)) metadata.set(key, value);
  const planned = tensors.map((source): PlannedTensor => {
    const dtype = chooseWeightType(source.name, source.shape, context);
    return { name: source.name, source, dtype: dtype === source.dtype ? undefined : dtype };
  });
  return { metadata, tensors: planned, derived: [], notes: requantizeNotes(planned) };
}

function countLayers(tensors: readonly StoredTensor[]): number {
  let numLayers = 0;
  for (const { name } of tensors) numLayers = Math.max(numLayers, (layerOf(name) ?? -1) + 1);
  return numLayers;
}

function requantizeNotes(tensors: readonly PlannedTensor[]): string[] {
  const isQuantized = ({ source, dtype }: PlannedTensor): boolean =>
    dtype !== undefined && isFloatDType(source.dtype) && quantFormat(source.dtype).blockSize > 1;
  const count = tensors.filter(isQuantized).length;
  if (count === 0) return [];
  return [`${count} tensors were quantized before: their rounding errors stay, and quantizing again adds to them`];
}
