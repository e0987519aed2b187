/** The bytes of the paged KV cache: two tensors per layer. The only file under `kvcache/` that knows tensors; which
 * block belongs to whom is the business of the others.
 *
 *   keys of one layer  [numBlocks, numKvHeads, blockSize, headDim]
 *
 *   block 0            block 1            block 2
 *   +---------------+  +---------------+  +---------------+
 *   | head 0: rows  |  | head 0: rows  |  |               |   a row is one token's key for one head,
 *   | head 1: rows  |  | head 1: rows  |  |               |   encoded in the cache's dtype
 *   +---------------+  +---------------+  +---------------+  */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import { layerUnit } from '../kernels/memory-outline.ts';
import { KV_DTYPES } from '../kernels/ops.ts';
import { byteLengthOf } from '../tensor/storage.ts';
import type { Tensor } from '../tensor/tensor.ts';

export { KV_DTYPES };

export type KvDType = (typeof KV_DTYPES)[number];

export interface KvCacheShape {
  readonly dtype: KvDType;
  readonly numLayers: number;
  readonly numBlocks: number;
  readonly numKvHeads: number;
  /** Tokens per block. */
  readonly blockSize: number;
  readonly headDim: number;
}

/** The shape of one layer's keys, or values. */
export function kvPagesShape({ numBlocks, numKvHeads, blockSize, headDim }: KvCacheShape): readonly number[] {
  return [numBlocks, numKvHeads, blockSize, headDim];
}

/** Bytes that one block takes over all layers, keys and values together. */
export function bytesPerKvBlock(shape: Omit<KvCacheShape, 'numBlocks'>): number {
  return 2 * shape.numLayers * byteLengthOf(shape.dtype, [shape.numKvHeads, shape.blockSize, shape.headDim]);
}

export class KvCacheStorage {
  readonly shape: KvCacheShape;
  readonly layers: readonly { readonly keys: Tensor; readonly values: Tensor }[];
  readonly #backend: KernelBackend;

  /** @throws OutOfMemoryError when the backend cannot hold all blocks; nothing stays allocated then. */
  constructor(backend: KernelBackend, shape: KvCacheShape) {
    this.#backend = backend;
    this.shape = shape;
    const pages = kvPagesShape(shape);
    const layers: { keys: Tensor; values: Tensor }[] = [];
    const allocated: Tensor[] = [];
    const allocate = (layer: number): Tensor => {
      const tensor = backend.allocate(shape.dtype, pages, 'kv', layerUnit(layer));
      allocated.push(tensor);
      return tensor;
    };
    try {
      for (let layer = 0; layer < shape.numLayers; layer++) {
        layers.push({ keys: allocate(layer), values: allocate(layer) });
      }
    } catch (error) {
      for (const tensor of allocated) backend.free(tensor);
      throw error;
    }
    this.layers = layers;
  }

  get byteLength(): number {
    return this.shape.numBlocks * bytesPerKvBlock(this.shape);
  }

  free(): void {
    for (const { keys, values } of this.layers) {
      this.#backend.free(keys);
      this.#backend.free(values);
    }
  }
}
