/** Keeps note of what a model holds that kernels do not take as it is, so that nobody wonders why it is slow. */
import { formatShape } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { FeatureState } from '../kernel-backend.ts';
import { areNative } from './ops/kv-pages.ts';
import { packedFormat } from './packing/format-registry.ts';
import { packingOf } from './wasm-buffer.ts';

export class Fallbacks {
  /** A reason, and how many tensors it is about. */
  readonly #reasons = new Map<string, number>();
  #hasAny = false;

  /** Undefined before there is a model. */
  get state(): FeatureState | undefined {
    if (!this.#hasAny) return undefined;
    if (this.#reasons.size === 0) return { used: true };
    return { used: false, reason: [...this.#reasons].map(([reason, count]) => `${count} ${reason}`).join('; ') };
  }

  /** A weight that was loaded. Vectors are few, and any op reads them. */
  noteWeight(tensor: Tensor): void {
    this.#hasAny = true;
    const { dtype, shape } = tensor;
    if (shape.length !== 2 || tensor.numElements === 0 || packingOf(tensor) !== undefined) return;
    this.#note(
      packedFormat(dtype) === undefined
        ? `${dtype} matrices have no kernels of their own: they are dequantized at each use`
        : `${dtype} matrices like ${formatShape(shape)} have rows too long for kernels`,
    );
  }

  /** KV pages, [numBlocks, numKvHeads, blockSize, headDim]. */
  notePages(pages: Tensor): void {
    this.#hasAny = true;
    if (pages.shape.length !== 4 || areNative(pages, pages)) return;
    this.#note(`KV tensors have heads of ${pages.shape[3]}, too large for kernels: the reference computes attention`);
  }

  #note(reason: string): void {
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
  }
}
