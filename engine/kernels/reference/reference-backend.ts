/** The reference backend: memory and checks around the reference ops. It runs each op at once, on the calling thread,
 * and refuses everything that is not exactly right, because it is what the other backends are compared with. */
import { EngineClosedError, InvalidArgumentError, OutOfMemoryError, UnsupportedError } from '../../errors.ts';
import type { DType, FloatDType } from '../../tensor/dtype.ts';
import { formatShape, type Shape } from '../../tensor/shape.ts';
import { byteLengthOf } from '../../tensor/storage.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { checkArgs } from '../check-args.ts';
import { checkAllocation, checkUpload, supportsWhatFits } from '../check-memory.ts';
import type { KernelBackend, MemoryPurpose, MemoryUsage, ReadRange } from '../kernel-backend.ts';
import type { OpArgs, OpName } from '../ops.ts';
import { WHOLE } from '../part.ts';
import { floatsOf, HostBuffer, intsOf, REFERENCE_OWNER } from './host-memory.ts';
import { REFERENCE_OPS } from './reference-ops.ts';

/** The most bytes asked of a weight's reader at once. */
const WEIGHT_CHUNK_BYTES = 4 * 1024 * 1024;

export class ReferenceBackend implements KernelBackend {
  readonly name = REFERENCE_OWNER;
  readonly kvPageLayout = 'rows-1';
  readonly #purposes = new Map<HostBuffer, MemoryPurpose>();
  readonly #usage: Record<MemoryPurpose, number> = { weights: 0, kv: 0, scratch: 0 };
  #isClosed = false;

  embed = (args: OpArgs['embed']): void => this.#run('embed', args);
  rmsNorm = (args: OpArgs['rmsNorm']): void => this.#run('rmsNorm', args);
  layerNorm = (args: OpArgs['layerNorm']): void => this.#run('layerNorm', args);
  matmul = (args: OpArgs['matmul']): void => this.#run('matmul', args);
  gatedMatmul = (args: OpArgs['gatedMatmul']): void => this.#run('gatedMatmul', args);
  rope = (args: OpArgs['rope']): void => this.#run('rope', args);
  writeKv = (args: OpArgs['writeKv']): void => this.#run('writeKv', args);
  pagedAttention = (args: OpArgs['pagedAttention']): void => this.#run('pagedAttention', args);
  siluMul = (args: OpArgs['siluMul']): void => this.#run('siluMul', args);
  geluMul = (args: OpArgs['geluMul']): void => this.#run('geluMul', args);
  add = (args: OpArgs['add']): void => this.#run('add', args);
  gatherRows = (args: OpArgs['gatherRows']): void => this.#run('gatherRows', args);
  copyBlocks = (args: OpArgs['copyBlocks']): void => this.#run('copyBlocks', args);
  tokenLogprobs = (args: OpArgs['tokenLogprobs']): void => this.#run('tokenLogprobs', args);
  topLogits = (args: OpArgs['topLogits']): void => this.#run('topLogits', args);
  softmaxSums = (args: OpArgs['softmaxSums']): void => this.#run('softmaxSums', args);

  /** Checks everything, then runs the op.
   * @throws ShapeError, UnsupportedError, InvalidArgumentError; nothing has been written then. */
  #run<Name extends OpName>(op: Name, args: OpArgs[Name]): void {
    this.#expectOpen();
    checkArgs(op, args);
    for (const [name, value] of Object.entries(args)) {
      if (typeof value === 'object' && !Array.isArray(value)) this.#expectOwned(`${op} ${name}`, value);
    }
    REFERENCE_OPS[op](args, WHOLE);
  }

  supports<Name extends OpName>(op: Name, args: OpArgs[Name]): true | string {
    return supportsWhatFits(op, args);
  }

  allocate(dtype: DType, shape: Shape, purpose: MemoryPurpose): Tensor<HostBuffer> {
    this.#expectOpen();
    checkAllocation(dtype, shape, purpose, this.#usage);
    const byteLength = byteLengthOf(dtype, shape);
    const buffer = newHostBuffer(byteLength, `${purpose} ${dtype}${formatShape(shape)}`);
    this.#purposes.set(buffer, purpose);
    this.#usage[purpose] += byteLength;
    return new Tensor(dtype, shape, buffer);
  }

  /** Reads straight into place, `WEIGHT_CHUNK_BYTES` at a time. A failed read leaves nothing allocated. */
  async loadWeight(dtype: FloatDType, shape: Shape, read: ReadRange): Promise<Tensor<HostBuffer>> {
    const tensor = this.allocate(dtype, shape, 'weights');
    const { bytes } = tensor.buffer;
    try {
      for (let start = 0; start < bytes.length; start += WEIGHT_CHUNK_BYTES) {
        await read(start, bytes.subarray(start, start + WEIGHT_CHUNK_BYTES));
        this.#expectOpen();
      }
    } catch (error) {
      if (!tensor.buffer.isReleased) this.free(tensor);
      throw error;
    }
    return tensor;
  }

  upload(tensor: Tensor, values: Float32Array | Int32Array): void {
    this.#expectOpen();
    this.#expectOwned('upload tensor', tensor);
    const dtype = checkUpload(tensor, values);
    (dtype === 'f32' ? floatsOf(tensor) : intsOf(tensor)).set(values);
  }

  async download(tensor: Tensor): Promise<Float32Array> {
    return new Float32Array(this.view(tensor));
  }

  view(tensor: Tensor): Float32Array {
    this.#expectOpen();
    this.#expectOwned('download tensor', tensor);
    if (tensor.dtype !== 'f32') throw new UnsupportedError(`download of ${tensor.dtype}`, 'only f32 tensors are read');
    return floatsOf(tensor);
  }

  async readBytes(tensor: Tensor, byteOffset: number, target: Uint8Array): Promise<void> {
    target.set(this.#range('readBytes', tensor, { byteOffset, byteLength: target.byteLength }));
  }

  writeBytes(tensor: Tensor, byteOffset: number, source: Uint8Array): void {
    this.#range('writeBytes', tensor, { byteOffset, byteLength: source.byteLength }).set(source);
  }

  async sync(): Promise<void> {
    this.#expectOpen();
  }

  free(tensor: Tensor): void {
    this.#expectOpen();
    const buffer = this.#expectOwned('free tensor', tensor);
    if (tensor.byteOffset !== 0 || tensor.byteLength !== buffer.byteLength) {
      throw new InvalidArgumentError('free tensor', `${tensor} is a view of a part; free the tensor it was cut from`);
    }
    this.#usage[this.#purposes.get(buffer)!] -= buffer.byteLength;
    this.#purposes.delete(buffer);
    buffer.release();
  }

  memoryUsage(): MemoryUsage {
    return { ...this.#usage };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [buffer, purpose] of this.#purposes) {
      this.#usage[purpose] -= buffer.byteLength;
      buffer.release();
    }
    this.#purposes.clear();
  }

  /** A range of the tensor's own bytes. */
  #range(
    what: string,
    tensor: Tensor,
    range: { readonly byteOffset: number; readonly byteLength: number },
  ): Uint8Array {
    this.#expectOpen();
    const buffer = this.#expectOwned(`${what} tensor`, tensor);
    const { byteOffset, byteLength } = range;
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || byteOffset + byteLength > tensor.byteLength) {
      const rule = `bytes ${byteOffset} to ${byteOffset + byteLength} leave ${tensor}, which has ${tensor.byteLength}`;
      throw new InvalidArgumentError(`${what} byteOffset`, rule);
    }
    const start = tensor.byteOffset + byteOffset;
    return buffer.bytes.subarray(start, start + byteLength);
  }

  #expectOpen(): void {
    if (this.#isClosed) throw new EngineClosedError();
  }

  /** @throws InvalidArgumentError for a tensor that another backend owns, that was freed, or that leaves its buffer. */
  #expectOwned(what: string, tensor: Tensor): HostBuffer {
    const buffer = tensor.buffer as HostBuffer;
    if (!this.#purposes.has(buffer)) {
      throw new InvalidArgumentError(what, `${tensor} ${whyNotOwned(tensor)}`, { owner: buffer.owner });
    }
    const { byteOffset, byteLength } = tensor;
    if (!(Number.isSafeInteger(byteOffset) && byteOffset >= 0 && byteOffset + byteLength <= buffer.byteLength)) {
      const rule = `bytes ${byteOffset} to ${byteOffset + byteLength} leave its buffer of ${buffer.byteLength}`;
      throw new InvalidArgumentError(what, `${tensor}: ${rule}`);
    }
    return buffer;
  }
}

function whyNotOwned({ buffer }: Tensor): string {
  if (!(buffer instanceof HostBuffer)) return `belongs to the backend '${buffer.owner}', not to '${REFERENCE_OWNER}'`;
  return buffer.isReleased ? 'was freed' : 'belongs to another reference backend';
}

function newHostBuffer(byteLength: number, what: string): HostBuffer {
  try {
    const Memory = typeof SharedArrayBuffer === 'undefined' ? ArrayBuffer : SharedArrayBuffer;
    return new HostBuffer(new Memory(byteLength));
  } catch (cause) {
    const advice = 'use a smaller model or quantization, or fewer KV blocks';
    throw new OutOfMemoryError(what, byteLength, advice, { cause });
  }
}
