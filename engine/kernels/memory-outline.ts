/** What a model is going to ask a backend for, told before the first allocation, so that a backend whose memory comes in
 * several pieces can decide what lies where. Knows shapes only. */
import type { DType } from '../tensor/dtype.ts';
import type { Shape } from '../tensor/shape.ts';

/** A tensor to come. */
export interface TensorOutline {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Tensors that meet in ops, and so must lie together: a layer's weights and its KV pages. */
export interface MemoryUnit {
  /** For messages, such as 'layer 3'. */
  readonly name: string;
  readonly weights: readonly TensorOutline[];
  readonly kv: readonly TensorOutline[];
}

export interface MemoryOutline {
  /** In the order of use: the embedding, the layers, the output. Ops take tensors of one unit and scratch tensors. */
  readonly units: readonly MemoryUnit[];
  /** Inputs and activations, which meet the tensors of every unit. */
  readonly scratch: readonly TensorOutline[];
}

/** The unit of the token embedding; also of whatever has no unit of its own. */
export const EMBEDDING_UNIT = 0;

/** The unit of a layer's weights and KV pages. */
export const layerUnit = (layer: number): number => layer + 1;

/** The unit of all other weights: the final norm and the output projection. */
export const outputUnit = (numLayers: number): number => numLayers + 1;
