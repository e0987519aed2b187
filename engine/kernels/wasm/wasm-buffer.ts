/** One allocation of the wasm backend, and where a tensor of it lies. */
import { InvalidArgumentError } from '../../errors.ts';
import type { BufferHandle, Tensor } from '../../tensor/tensor.ts';
import type { PackedFormat } from './packing/packed-format.ts';

export const WASM_OWNER = 'wasm';

/** A weight matrix [numRows, rowLength] in its packed layout. Views of a part of it make no sense. */
export interface Packing {
  readonly format: PackedFormat;
  readonly numRows: number;
  readonly rowLength: number;
}

/** In place of a memory's number: the buffer is at the same address in each (mirrors.ts). */
export const MIRRORED = -1;

export interface WasmBufferParts {
  readonly memory: number;
  readonly address: number;
  readonly byteLength: number;
  readonly packing?: Packing | undefined;
}

export class WasmBuffer implements BufferHandle {
  readonly owner = WASM_OWNER;
  /** Which of the backend's memories it lies in, from 0, or `MIRRORED`. */
  readonly memory: number;
  readonly address: number;
  readonly byteLength: number;
  /** Undefined when the bytes lie as in a file. */
  readonly packing: Packing | undefined;
  isReleased = false;

  constructor({ memory, address, byteLength, packing }: WasmBufferParts) {
    this.memory = memory;
    this.address = address;
    this.byteLength = byteLength;
    this.packing = packing;
  }
}

/** Address of an unpacked tensor's first byte.
 * @throws InvalidArgumentError when the tensor is packed */
export function byteAddressOf(tensor: Tensor): number {
  const { address, packing } = tensor.buffer as WasmBuffer;
  if (packing === undefined) return address + tensor.byteOffset;
  throw new InvalidArgumentError('tensor', `${tensor} is a packed weight: only matmul and embed can read it`);
}

/** Address of an unpacked f32 or i32 tensor's first element.
 * @throws InvalidArgumentError when it is not a multiple of 4, too */
export function addressOf(tensor: Tensor): number {
  const address = byteAddressOf(tensor);
  if (address % 4 === 0) return address;
  throw new InvalidArgumentError('tensor', `${tensor} must start at a multiple of 4 bytes, got ${tensor.byteOffset}`);
}

/** How a weight is packed, or undefined when it lies as in a file.
 * @throws InvalidArgumentError for a view that is not the whole weight */
export function packingOf(weight: Tensor): Packing | undefined {
  const { packing } = weight.buffer as WasmBuffer;
  if (packing === undefined) return undefined;
  const [numRows, rowLength] = weight.shape;
  const isWhole = weight.shape.length === 2 && numRows === packing.numRows && rowLength === packing.rowLength;
  if (isWhole && weight.byteOffset === 0) return packing;
  throw new InvalidArgumentError('weight', `${weight} is a view of a packed weight, which can only be used whole`);
}
