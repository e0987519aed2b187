/** What every model file format offers, whatever its bytes look like. `engine/loader/` bridges this to models. */
import type { Shape } from '../engine/tensor/shape.ts';

/** One tensor as the file describes it. Nothing has been read yet. */
export interface StoredTensor {
  /** The name in the file: `blk.0.attn_q.weight`, `model.layers.0.self_attn.q_proj.weight`. */
  readonly name: string;
  /** Lower-case type name. A Quern `FloatDType` when Quern can read it, otherwise the format's own name in lower case. */
  readonly dtype: string;
  /** Outermost dimension first (GGUF stores the reverse; its reader turns it round). */
  readonly shape: Shape;
  readonly byteLength: number;
  /** The file (shard) that holds the bytes, and where they start in it. */
  readonly file: string;
  readonly byteOffset: number;
}

/** An opened model file, or the shards of one. Reads ranges; never the whole file. */
export interface TensorFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Fills `target` with the tensor's bytes from `byteOffset` (counted from the tensor's start).
   * @throws FormatError when the file ends early, InvalidArgumentError when the range leaves the tensor. */
  read(tensor: StoredTensor, byteOffset: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** A whole tensor's bytes in new memory: `byteLength` bytes, which opening the file has shown to be there. */
export async function readTensor(file: Pick<TensorFile, 'read'>, tensor: StoredTensor): Promise<Uint8Array> {
  const bytes = new Uint8Array(tensor.byteLength);
  await file.read(tensor, 0, bytes);
  return bytes;
}
