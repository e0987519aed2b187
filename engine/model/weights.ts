/** Which weights a model family has: their roles, shapes and whether they may be missing. The loader finds them in a
 * file by its own names; the graph uses them by role. */
import type { Tensor } from '../tensor/tensor.ts';
import type { ModelConfig } from './model-config.ts';

/** One entry of a family's list. */
export interface WeightSpec<Role extends string = string> {
  readonly role: Role;
  /** 'matrix' weights come in any dtype; 'vector' ones (norms, biases) are small. */
  readonly kind: 'matrix' | 'vector';
  readonly shape: (config: ModelConfig) => readonly number[];
  readonly optional?: true;
}

export type ModelRole = 'embedTokens' | 'finalNorm' | 'lmHead';

export type LayerRole =
  | 'attentionNorm'
  | 'qProj'
  | 'kProj'
  | 'vProj'
  | 'oProj'
  | 'qBias'
  | 'kBias'
  | 'vBias'
  | 'oBias'
  | 'mlpNorm'
  | 'gateProj'
  | 'upProj'
  | 'downProj'
  | 'gateBias'
  | 'upBias'
  | 'downBias';

/** Loaded weights by role; a role that the file lacks (and may lack) is absent. */
export type WeightsOf<Role extends string> = { readonly [R in Role]?: Tensor };

export interface ModelWeights {
  readonly model: WeightsOf<ModelRole>;
  readonly layers: readonly WeightsOf<LayerRole>[];
}
