/** What loading gives: weights on a backend, hyperparameters, the tokenizer, and what the file says about generating. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { ModelFamily } from '../model/model-family.ts';
import type { ModelWeights } from '../model/weights.ts';
import type { Tokenizer } from '../tokenizer/index.ts';

export interface LoadedModel {
  readonly path: string;
  readonly format: 'gguf' | 'safetensors';
  readonly backend: KernelBackend;
  readonly config: ModelConfig;
  readonly family: ModelFamily;
  readonly weights: ModelWeights;
  readonly tokenizer: Tokenizer;
  /** Equal for models whose keys and values are interchangeable. */
  readonly fingerprint: string;
}
