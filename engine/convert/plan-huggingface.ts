/** Plans a Hugging Face folder to GGUF: hyperparameters, tokenizer and tensors under GGUF's names. */
import { basename, resolve } from 'node:path';
import { type GgufValue, gguf } from '../../formats/gguf/gguf-value.ts';
import type { StoredTensor } from '../../formats/tensor-file.ts';
import { FormatError, UnsupportedError } from '../errors.ts';
import type { OpenedModel } from '../loader/open-model.ts';
import { GGUF_NAMES, layerWeightName } from '../loader/weight-names.ts';
import type { ModelConfig } from '../model/model-config.ts';
import { findModelFamily } from '../model/model-registry.ts';
import type { LayerRole, ModelRole, WeightSpec } from '../model/weights.ts';
import { formatShape, sameShape } from '../tensor/shape.ts';
import type { ConversionPlan, PlannedTensor } from './conversion-plan.ts';
import type { RowOrder } from './convert-tensor.ts';
import { ggufHyperparameters, ropeFactors } from './gguf-hyperparameters.ts';
import { ggufTokenizer } from './gguf-tokenizer.ts';
import { quantizationKeys } from './plan-gguf.ts';
import type { QuantizeTarget } from './quantize-target.ts';
import { chooseWeightType, type WeightTypeContext } from './weight-type-policy.ts';

/** What GGUF calls the families, and whether their query and key rows change places (see `interleavedOrder`). GGUF has no
 * Mistral: it is a Llama with a sliding window. */
const GGUF_FAMILIES: Readonly<Record<string, { readonly architecture: string; readonly interleaves: boolean }>> = {
  llama: { architecture: 'llama', interleaves: true },
  mistral: { architecture: 'llama', interleaves: true },
  qwen2: { architecture: 'qwen2', interleaves: false },
};

/** @throws FormatError, UnsupportedError for a family, a tensor or a tokenizer that GGUF or Quern has no place for */
export async function planHuggingFace(
  model: OpenedModel,
  target: QuantizeTarget,
  isPure: boolean,
): Promise<ConversionPlan> {
  const config = await model.readConfig();
  const family = GGUF_FAMILIES[config.architecture];
  if (family === undefined) {
    throw new UnsupportedError(
      `converting '${config.architecture}' to GGUF`,
      `known are ${Object.keys(GGUF_FAMILIES).join(', ')}`,
    );
  }
  const tokenizer = await ggufTokenizer(model.path, config.vocabSize);
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', gguf.string(family.architecture)],
    ['general.type', gguf.string('model')],
    ['general.name', gguf.string(basename(resolve(model.path)))],
    ...quantizationKeys(target),
    ...ggufHyperparameters(config, family.architecture),
    ...tokenizer.metadata,
  ]);
  const factors = ropeFactors(config);
  return {
    metadata,
    tensors: planTensors(model, config, { target, isPure, interleaves: family.interleaves }),
    derived: factors === undefined ? [] : [{ name: GGUF_NAMES.ropeFactors!, values: factors }],
    notes: tokenizer.notes,
  };
}

interface TensorPlanOptions {
  readonly target: QuantizeTarget;
  readonly isPure: boolean;
  readonly interleaves: boolean;
}

function planTensors(model: OpenedModel, config: ModelConfig, options: TensorPlanOptions): PlannedTensor[] {
  const family = findModelFamily(config.architecture);
  const { file, names } = model;
  const used = new Set<string>();
  const planned: PlannedTensor[] = [];
  const context: WeightTypeContext = {
    target: options.target,
    isPure: options.isPure,
    numLayers: config.numLayers,
    isTied: model.ignoredRoles.has('lmHead'),
  };
  const add = (spec: WeightSpec, sourceName: string, name: string): void => {
    used.add(sourceName);
    if (model.ignoredRoles.has(spec.role)) return;
    const source = file.tensors.get(sourceName);
    if (source === undefined) {
      if (spec.optional === true && !model.requiredRoles.has(spec.role)) return;
      throw new FormatError({ file: model.path, byteOffset: 0, field: sourceName }, 'the tensor is missing');
    }
    checkShape(source, spec.shape(config));
    const dtype = chooseWeightType(name, source.shape, context) ?? 'f32';
    planned.push({ name, source, dtype, rowOrder: options.interleaves ? rowOrderOf(spec, config) : undefined });
  };
  for (const spec of family.modelWeights) {
    add(spec, names.model[spec.role as ModelRole], GGUF_NAMES.model[spec.role as ModelRole]);
  }
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const spec of family.layerWeights) {
      const role = spec.role as LayerRole;
      add(spec, layerWeightName(names, role, layer), layerWeightName(GGUF_NAMES, role, layer));
    }
  }
  refuseUnknownTensors(model, used);
  return planned;
}

function checkShape(source: StoredTensor, expected: readonly number[]): void {
  if (sameShape(source.shape, expected)) return;
  throw new FormatError(
    { file: source.file, byteOffset: source.byteOffset, field: source.name },
    `shape ${formatShape(source.shape)} does not fit the hyperparameters, which ask for ${formatShape(expected)}`,
  );
}

/** Tables of rope frequencies follow from the hyperparameters. */
const DERIVED_TENSOR = /rotary_emb\.inv_freq$/;

function refuseUnknownTensors(model: OpenedModel, used: ReadonlySet<string>): void {
  for (const name of model.file.tensors.keys()) {
    if (used.has(name) || DERIVED_TENSOR.test(name)) continue;
    throw new UnsupportedError(`${model.path}: tensor '${name}'`, 'GGUF has no name for it in this family');
  }
}

const ROTATED_ROLES: ReadonlySet<string> = new Set(['qProj', 'kProj', 'qBias', 'kBias']);

function rowOrderOf(spec: WeightSpec, config: ModelConfig): RowOrder | undefined {
  return ROTATED_ROLES.has(spec.role) ? interleavedOrder(config.headDim) : undefined;
}

/** Rope turns pairs of a head's dimensions. Hugging Face's Llama pairs dimension i with i + headDim / 2, GGUF's pairs
 * neighbours; the weights that make queries and keys are re-ordered so that both give the same scores.
 *
 *   source rows of a head   a0 a1 a2 b0 b1 b2      (ai, bi) is a pair
 *   GGUF                    a0 b0 a1 b1 a2 b2
 *
 * Source  `permute` in llama.cpp's convert_hf_to_gguf.py */
function interleavedOrder(headDim: number): RowOrder {
  const half = headDim / 2;
  return { rowsPerGroup: headDim, sourceRow: (row) => (row % 2) * half + (row >> 1) };
}
