/** Finds a family's weights in a file, checks that each has the shape its hyperparameters promise, and hands the bytes
 * to a backend, several weights at a time. Every check comes before the first allocation. */
import type { StoredTensor, TensorFile } from '../../formats/tensor-file.ts';
import { FormatError, UnsupportedError } from '../errors.ts';
import type { KernelBackend, Offload } from '../kernels/kernel-backend.ts';
import { EMBEDDING_UNIT, layerUnit, outputUnit } from '../kernels/memory-outline.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { ModelFamily } from '../model/model-family.ts';
import type { LayerRole, ModelRole, ModelWeights, WeightSpec } from '../model/weights.ts';
import { FLOAT_DTYPES, type FloatDType, isFloatDType } from '../tensor/dtype.ts';
import { formatShape, sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { inParallel } from '../util/in-parallel.ts';
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
export interface PlannedWeight {
  readonly layer: number | undefined;
  readonly role: string;
  readonly stored: StoredTensor;
  /** Which other tensors it must lie with (memory-outline.ts). */
  readonly unit: number;
}

export interface LoadWeightsOptions {
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Where packing is done. Default: on the calling thread. */
  readonly offload?: Offload | undefined;
}

/** While some are read, others are packed. */
const WEIGHTS_AT_ONCE = 4;

/** Errors  what reading and the backend say; nothing stays allocated then */
export async function loadWeights(
  plan: readonly PlannedWeight[],
  source: WeightSource,
  backend: KernelBackend,
  options: LoadWeightsOptions = {},
): Promise<ModelWeights> {
  const totalBytes = plan.reduce((sum, { stored }) => sum + stored.byteLength, 0);
  const roles: Record<string, Tensor> = {};
  const numLayers = 1 + Math.max(-1, ...plan.map(({ layer }) => layer ?? -1));
  const layers: Record<string, Tensor>[] = Array.from({ length: numLayers }, () => ({}));
  const loaded: Tensor[] = [];
  let loadedBytes = 0;
  const load = async ({ layer, role, stored, unit }: PlannedWeight): Promise<void> => {
    const read = async (byteOffset: number, target: Uint8Array): Promise<void> => {
      options.signal?.throwIfAborted();
      await source.file.read(stored, byteOffset, target);
      // Another weight's progress may have made somebody give up meanwhile.
      options.signal?.throwIfAborted();
      loadedBytes += target.byteLength;
      options.onProgress?.({ loadedBytes, totalBytes });
    };
    const { offload } = options;
    const tensor = await backend.loadWeight(stored.dtype as FloatDType, stored.shape, read, { unit, offload });
    loaded.push(tensor);
    (layer === undefined ? roles : layers[layer]!)[role] = tensor;
  };
  try {
    await inParallel(plan, WEIGHTS_AT_ONCE, load);
  } catch (error) {
    for (const tensor of loaded) backend.free(tensor);
    throw error;
  }
  return { model: roles, layers };
}

/** Pairs every role with a stored tensor. Allocates nothing that grows with what a file merely claims.
 * @throws FormatError for a missing weight or a wrong shape, UnsupportedError for a dtype or a tensor that Quern does
 * not know: better no answer than a wrong one. */
export function planWeights(
  source: WeightSource,
  { family, config }: { readonly family: ModelFamily; readonly config: ModelConfig },
): PlannedWeight[] {
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
      plan.push({ layer, role: spec.role, stored, unit: unitOf(spec, layer, config.numLayers) });
    } else if (spec.optional !== true || source.requiredRoles?.has(spec.role)) {
      throw new FormatError({ file: source.path, byteOffset: 0, field: name }, 'the tensor is missing');
    }
  };
  for (const spec of family.modelWeights) add(spec, undefined);
  for (let layer = 0; layer < config.numLayers; layer++) for (const spec of family.layerWeights) add(spec, layer);
  refuseUnknownTensors(source, used, family.architecture);
  return plan;
}

/** Ops take a layer's weights with its KV pages; of the others only the embedding goes by itself. */
function unitOf({ role }: WeightSpec, layer: number | undefined, numLayers: number): number {
  if (layer !== undefined) return layerUnit(layer);
  return role === ('embedTokens' satisfies ModelRole) ? EMBEDDING_UNIT : outputUnit(numLayers);
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
