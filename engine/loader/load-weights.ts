/** Finds a family's weights in a file, checks that each has the shape its hyperparameters promise, and hands the bytes
 * to a backend. Every check comes before the first allocation. */
import type { StoredTensor, TensorFile } from '../../formats/tensor-file.ts';
import { FormatError, UnsupportedError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { ModelFamily } from '../model/model-family.ts';
import type { LayerRole, ModelRole, ModelWeights, WeightSpec } from '../model/weights.ts';
import { FLOAT_DTYPES, type FloatDType, isFloatDType } from '../tensor/dtype.ts';
import { formatShape, sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { layerWeightName, type NameScheme } from './weight-names.ts';

export interface LoadProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export interface WeightSource {
  readonly file: TensorFile;
  /** Named in errors about a weight that is not there at all. */
  readonly path: string;
  readonly names: NameScheme;
  /** Roles that the file may hold but the model does not use (a tied output projection). */
  readonly ignoredRoles?: ReadonlySet<string>;
  /** Roles that the file must hold although the family allows them to be missing. */
  readonly requiredRoles?: ReadonlySet<string>;
}

/** A weight that was found, and where it goes. */
interface PlannedWeight {
  readonly layer: number | undefined;
  readonly role: string;
  readonly stored: StoredTensor;
}

export interface LoadWeightsOptions {
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws FormatError for a missing weight or a wrong shape, UnsupportedError for a dtype or a tensor that Quern does
 * not know: better no answer than a wrong one. */
export async function loadWeights(
  source: WeightSource,
  model: { readonly family: ModelFamily; readonly config: ModelConfig },
  backend: KernelBackend,
  options: LoadWeightsOptions = {},
): Promise<ModelWeights> {
  const plan = planWeights(source, model.family, model.config);
  const totalBytes = plan.reduce((sum, { stored }) => sum + stored.byteLength, 0);
  const roles: Record<string, Tensor> = {};
  const layers: Record<string, Tensor>[] = Array.from({ length: model.config.numLayers }, () => ({}));
  const loaded: Tensor[] = [];
  let loadedBytes = 0;
  try {
    for (const { layer, role, stored } of plan) {
      const tensor = await backend.loadWeight(stored.dtype as FloatDType, stored.shape, async (byteOffset, target) => {
        options.signal?.throwIfAborted();
        await source.file.read(stored, byteOffset, target);
        loadedBytes += target.byteLength;
        options.onProgress?.({ loadedBytes, totalBytes });
      });
      loaded.push(tensor);
      (layer === undefined ? roles : layers[layer]!)[role] = tensor;
    }
  } catch (error) {
    for (const tensor of loaded) backend.free(tensor);
    throw error;
  }
  return { model: roles, layers };
}

/** Pairs every role with a stored tensor. Allocates nothing that grows with what a file merely claims. */
function planWeights(source: WeightSource, family: ModelFamily, config: ModelConfig): PlannedWeight[] {
  const plan: PlannedWeight[] = [];
  const used = new Set<string>();
  const add = (spec: WeightSpec, layer: number | undefined): void => {
    const name =
      layer === undefined
        ? source.names.model[spec.role as ModelRole]
        : layerWeightName(source.names, spec.role as LayerRole, layer);
    used.add(name);
    if (source.ignoredRoles?.has(spec.role)) return;
    const stored = source.file.tensors.get(name);
    if (stored !== undefined) {
      checkStored(stored, spec, config);
      plan.push({ layer, role: spec.role, stored });
    } else if (spec.optional !== true || source.requiredRoles?.has(spec.role)) {
      throw new FormatError({ file: source.path, byteOffset: 0, field: name }, 'the tensor is missing');
    }
  };
  for (const spec of family.modelWeights) add(spec, undefined);
  for (let layer = 0; layer < config.numLayers; layer++) for (const spec of family.layerWeights) add(spec, layer);
  refuseUnknownTensors(source, used, family.architecture);
  return plan;
}

function checkStored(stored: StoredTensor, spec: WeightSpec, config: ModelConfig): void {
  const where = { file: stored.file, byteOffset: stored.byteOffset, field: stored.name };
  const expected = spec.shape(config);
  if (!sameShape(stored.shape, expected)) {
    throw new FormatError(
      where,
      `shape ${formatShape(stored.shape)} does not fit the hyperparameters, which ask for ${formatShape(expected)}`,
    );
  }
  if (!isFloatDType(stored.dtype)) {
    throw new UnsupportedError(
      `${stored.file}: type ${stored.dtype} of ${stored.name}`,
      `known are ${FLOAT_DTYPES.join(', ')}`,
    );
  }
}

/** Tensors that carry no information beyond the hyperparameters. */
const DERIVED_TENSOR = /(rotary_emb\.inv_freq|attn_rot_embd\.weight)$/;

function refuseUnknownTensors(source: WeightSource, used: ReadonlySet<string>, architecture: string): void {
  for (const name of source.file.tensors.keys()) {
    if (used.has(name) || name === source.names.ropeFactors || DERIVED_TENSOR.test(name)) continue;
    throw new UnsupportedError(
      `${source.path}: tensor '${name}'`,
      `the ${architecture} graph has no place for it, and leaving it out would give wrong answers`,
    );
  }
}
