/** From a path to a model that can run: opens the file, checks it, reads its tokenizer, streams its weights to a backend. */
import type { KernelBackend, Offload } from '../kernels/kernel-backend.ts';
import {
  EMBEDDING_UNIT,
  layerUnit,
  type MemoryOutline,
  outputUnit,
  type TensorOutline,
} from '../kernels/memory-outline.ts';
import type { ModelConfig } from '../model/model-config.ts';
import { findModelFamily } from '../model/model-registry.ts';
import type { DType } from '../tensor/dtype.ts';
import { readFolderTokenizer } from './load-tokenizer.ts';
import { type LoadWeightsOptions, loadWeights, type PlannedWeight, planWeights } from './load-weights.ts';
import type { LoadedModel } from './loaded-model.ts';
import { fingerprintModel } from './model-fingerprint.ts';
import { openModel } from './open-model.ts';

/** Memory that a model needs besides its weights. */
export interface MemoryNeeds {
  readonly kvPerLayer: readonly TensorOutline[];
  readonly scratch: readonly TensorOutline[];
}

export interface LoadModelOptions extends Omit<LoadWeightsOptions, 'offload'> {
  /** A folder with a `tokenizer.json`, when the model's own is not wanted or missing. */
  readonly tokenizerPath?: string | undefined;
  /** Told what the model is before anything large is read. What it throws ends the load.
   * @returns what will be allocated beside the weights, so that a model larger than one memory finds its place. Undefined:
   *   everything must fit into one. */
  readonly onConfig?: ((config: ModelConfig) => MemoryNeeds | undefined) | undefined;
  /** Called once memory is arranged, for threads that pack weights. Default: none, the calling thread does. */
  readonly attachWorkers?: (() => Offload | undefined) | undefined;
}

/** @throws FileAccessError, FormatError, UnsupportedError, OutOfMemoryError; AbortError by `signal`. The file is closed
 * and the backend holds nothing of it then. */
export async function loadModel(
  path: string,
  backend: KernelBackend,
  options: LoadModelOptions = {},
): Promise<LoadedModel> {
  const opened = await openModel(path);
  try {
    const config = await opened.readConfig();
    const needs = options.onConfig?.(config);
    const family = findModelFamily(config.architecture);
    const plan = planWeights(opened, { family, config });
    if (needs !== undefined) backend.arrange?.(outlineOf(plan, config.numLayers, needs));
    const offload = options.attachWorkers?.();
    // While the threads load their code, which takes about as long.
    const tokenizer =
      options.tokenizerPath === undefined
        ? await opened.readTokenizer()
        : await readFolderTokenizer(options.tokenizerPath);
    const fingerprinting = fingerprintModel(opened.file, config);
    // Awaited below; until then a failure is not unhandled.
    fingerprinting.catch(() => {});
    const weights = await loadWeights(plan, opened, backend, { ...options, offload });
    const fingerprint = await fingerprinting;
    return { path, format: opened.format, backend, config, family, weights, tokenizer, fingerprint };
  } finally {
    await opened.close();
  }
}

function outlineOf(plan: readonly PlannedWeight[], numLayers: number, needs: MemoryNeeds): MemoryOutline {
  const nameOf = (unit: number): string =>
    unit === EMBEDDING_UNIT ? 'the embedding' : unit <= numLayers ? `layer ${unit - 1}` : 'the output projection';
  const units = Array.from({ length: outputUnit(numLayers) + 1 }, (_, unit) => ({
    name: nameOf(unit),
    weights: [] as TensorOutline[],
    kv: unit >= layerUnit(0) && unit < outputUnit(numLayers) ? needs.kvPerLayer : [],
  }));
  for (const { unit, stored } of plan) units[unit]!.weights.push({ dtype: stored.dtype as DType, shape: stored.shape });
  return { units, scratch: needs.scratch };
}
