/** One KV block's bytes over all layers, as a file holds them:
 *
 *   [ keys of layer 0 | values of layer 0 | keys of layer 1 | ... | values of the last layer ]
 *
 * Each part is a page, `bytesPerPage` long. How the bytes lie inside is the backend's own affair. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { KvCacheStorage } from '../kvcache/kv-cache-storage.ts';
import type { Tensor } from '../tensor/tensor.ts';

export class KvBlockBytes {
  /** Of one block. */
  readonly byteLength: number;
  readonly #backend: KernelBackend;
  readonly #tensors: readonly Tensor[];
  readonly #bytesPerPage: number;

  constructor(backend: KernelBackend, layers: KvCacheStorage['layers']) {
    this.#backend = backend;
    this.#tensors = layers.flatMap(({ keys, values }) => [keys, values]);
    const { byteLength, shape } = this.#tensors[0]!;
    this.#bytesPerPage = byteLength / shape[0]!;
    this.byteLength = this.#tensors.length * this.#bytesPerPage;
  }

  /** Fills `target` with the block as it is now: all pages are asked for before this returns. */
  async read(blockId: number, target: Uint8Array): Promise<void> {
    await Promise.all(
      this.#pages(target, (tensor, page) => this.#backend.readBytes(tensor, blockId * page.length, page)),
    );
  }

  write(blockId: number, source: Uint8Array): void {
    this.#pages(source, (tensor, page) => this.#backend.writeBytes(tensor, blockId * page.length, page));
  }

  #pages<T>(bytes: Uint8Array, use: (tensor: Tensor, page: Uint8Array) => T): T[] {
    const size = this.#bytesPerPage;
    return this.#tensors.map((tensor, i) => use(tensor, bytes.subarray(i * size, (i + 1) * size)));
  }
}
