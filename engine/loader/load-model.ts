/** From a path to a model that can run: opens the file, checks it, reads its tokenizer, streams its weights to a backend. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { ModelConfig } from '../model/model-config.ts';
import { findModelFamily } from '../model/model-registry.ts';
import { readFolderTokenizer } from './load-tokenizer.ts';
import { type LoadWeightsOptions, loadWeights } from './load-weights.ts';
import type { LoadedModel } from './loaded-model.ts';
import { fingerprintModel } from './model-fingerprint.ts';
import { openModel } from './open-model.ts';

export interface LoadModelOptions extends LoadWeightsOptions {
  /** A folder with a `tokenizer.json`, when the model's own is not wanted or missing. */
  readonly tokenizerPath?: string | undefined;
  /** Told what the model is before anything large is read. What it throws ends the load. */
  readonly onConfig?: ((config: ModelConfig) => void) | undefined;
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
    options.onConfig?.(config);
    const family = findModelFamily(config.architecture);
    const tokenizer =
      options.tokenizerPath === undefined
        ? await opened.readTokenizer()
        : await readFolderTokenizer(options.tokenizerPath);
    const fingerprint = await fingerprintModel(opened.file, config);
    const weights = await loadWeights(opened, { family, config }, backend, options);
    return { path, format: opened.format, backend, config, family, weights, tokenizer, fingerprint };
  } finally {
    await opened.close();
  }
}
