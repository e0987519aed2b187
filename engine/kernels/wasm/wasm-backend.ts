/** The wasm backend: kernels generated when they are needed (kernel-library.ts), over shared WebAssembly memory
 * (memory-pool.ts). Ops run at once on the calling thread; a worker thread takes part in them by `attachment`
 * (wasm-worker.ts). */
import { EngineClosedError, InvalidArgumentError, UnsupportedError } from '../../errors.ts';
import type { DType, FloatDType } from '../../tensor/dtype.ts';
import { formatShape, type Shape } from '../../tensor/shape.ts';
import { byteLengthOf } from '../../tensor/storage.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { checkArgs } from '../check-args.ts';
import { checkAllocation, checkUpload, supportsWhatFits } from '../check-memory.ts';
import type {
  FeatureState,
  KernelBackend,
  LoadWeightOptions,
  MemoryPurpose,
  MemoryUsage,
  ReadRange,
} from '../kernel-backend.ts';
import { EMBEDDING_UNIT, type MemoryOutline } from '../memory-outline.ts';
import type { OpArgs, OpName } from '../ops.ts';
import { WHOLE } from '../part.ts';
import { Fallbacks } from './fallbacks.ts';
import { type CompileOptions, KernelLibrary } from './kernel-library.ts';
import type { KernelSet } from './kernel-module.ts';
import { ALL_SETS } from './kernel-sets.ts';
import { Machine } from './machine.ts';
import { MemoryPool, type Piece, type Place } from './memory-pool.ts';
import { holderOf, prepareInPlace, setHeldByAll } from './mirrors.ts';
import { forWeight, kernelsForModel, kernelsForOp } from './needed-kernels.ts';
import { AttentionPlans } from './ops/attention-plan.ts';
import { nativeOp } from './ops/index.ts';
import { OwnRows } from './ops/own-rows.ts';
import { PackedActivations } from './ops/packed-activations.ts';
import { packingBytes, packingFor } from './packing/choose-packing.ts';
import { loadPackedRows, type PackingMeans, readInChunks, unpackRows } from './packing/load-packed.ts';
import { type PackJob, packRows } from './packing/pack-rows.ts';
import { StagingLine } from './packing/staging.ts';
import { lookForSpecials, noteBytesOf } from './specials-note.ts';
import { addressOf, byteAddressOf, MIRRORED, packingOf, WASM_OWNER, WasmBuffer } from './wasm-buffer.ts';
import type { WasmAttachment } from './wasm-worker.ts';

export interface WasmBackendOptions extends CompileOptions {
  /** The most bytes of weights, KV pages and activations in one memory: a test makes a small model need several.
   * Default: what WebAssembly allows, 4 GiB less the fixed areas. */
  readonly maxHeapBytes?: number;
}

export interface WasmFeatures extends Readonly<Record<string, FeatureState>> {
  readonly relaxedSimd: FeatureState;
  readonly revectorized: FeatureState;
}

const ALONE = { part: WHOLE, meet: () => {}, generation: 0, numJoined: 0 };

export class WasmBackend implements KernelBackend {
  readonly name = WASM_OWNER;
  readonly kvPageLayout: string;
  readonly #library: KernelLibrary;
  readonly #pool: MemoryPool;
  readonly #stagingLine = new StagingLine();
  readonly #fallbacks = new Fallbacks();
  readonly #purposes = new Map<WasmBuffer, MemoryPurpose>();
  readonly #usage: Record<MemoryPurpose, number> = { weights: 0, kv: 0, scratch: 0 };
  #isOutlined = false;
  #isClosed = false;

  /** @throws OutOfMemoryError when no memory can be had at all */
  constructor({ maxHeapBytes, ...options }: WasmBackendOptions = {}) {
    this.#library = new KernelLibrary(options);
    this.#pool = new MemoryPool(() => new Machine(this.#library.compiled), maxHeapBytes);
    // Without relaxed SIMD every machine computes the same bits, so pages may travel between all of them.
    this.kvPageLayout = `wasm strips 3 ${this.#library.relaxed.used ? `fast ${process.arch}` : 'portable'}`;
  }

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

  /** Of the kernels that there are; asked before anything else, of all. `nativeKernels` once there is a model: whether kernels
   * take all its weights and KV pages as they are. */
  get features(): WasmFeatures {
    if (this.#library.compiled.sets.length === 0) this.#provide(ALL_SETS);
    const { relaxed, revectorized } = this.#library;
    const nativeKernels = this.#fallbacks.state;
    return { relaxedSimd: relaxed, revectorized, ...(nativeKernels === undefined ? {} : { nativeKernels }) };
  }

  #run<Name extends OpName>(op: Name, args: OpArgs[Name]): void {
    this.#expectOpen();
    checkArgs(op, args);
    for (const [name, value] of Object.entries(args)) {
      if (typeof value === 'object' && !Array.isArray(value)) this.#expectOwned(`${op} ${name}`, value);
    }
    this.#provide(kernelsForOp(op, args));
    const notes = { packed: new PackedActivations(), own: new OwnRows(), plans: new AttentionPlans(WHOLE) };
    prepareInPlace(this.#pool.machines, op, args)({ ...ALONE, ...notes });
  }

  supports<Name extends OpName>(op: Name, args: OpArgs[Name]): true | string {
    return supportsWhatFits(op, args);
  }

  /** Whether kernels run the op on these arguments, rather than the reference. */
  isNative<Name extends OpName>(op: Name, args: OpArgs[Name]): boolean {
    return nativeOp(op, args) !== undefined;
  }

  /** What a worker thread needs to run parts of ops on this backend's memory: to be posted to it. It compiles nothing itself, so
   * it gets all kernels, unless `arrange` has told which will do. */
  get attachment(): WasmAttachment {
    if (!this.#isOutlined) this.#provide(ALL_SETS);
    const memories = this.#pool.machines.map(({ memory }) => memory.memory);
    return { compiled: this.#library.compiled, memories };
  }

  /** Compiles the model's kernels, too: some tens of milliseconds.
   * @throws OutOfMemoryError when a unit fits into no memory */
  arrange(outline: MemoryOutline): void {
    this.#expectOpen();
    this.#pool.arrange(outline);
    this.#provide(kernelsForModel(outline));
    this.#isOutlined = true;
  }

  allocate(dtype: DType, shape: Shape, purpose: MemoryPurpose, unit = EMBEDDING_UNIT): Tensor<WasmBuffer> {
    this.#expectOpen();
    checkAllocation(dtype, shape, purpose, this.#usage);
    const place = purpose === 'scratch' ? 'anywhere' : { unit };
    const what = `${purpose} ${dtype}${formatShape(shape)}`;
    const buffer = this.#newBuffer(byteLengthOf(dtype, shape), purpose, { place, what, noteBytes: noteBytesOf(dtype) });
    const tensor = new Tensor(dtype, shape, buffer);
    if (purpose === 'kv') this.#fallbacks.notePages(tensor);
    return tensor;
  }

  /** A matrix of a format with kernels is packed as it comes; anything else is kept as it is. Besides the weights some
   * 1 MiB each for up to four of them is in use meanwhile. A failed read leaves nothing allocated.
   * @throws UnsupportedError for an f16 infinity or NaN, which kernels would take for a number */
  async loadWeight(
    dtype: FloatDType,
    shape: Shape,
    read: ReadRange,
    { unit = EMBEDDING_UNIT, offload }: LoadWeightOptions = {},
  ): Promise<Tensor<WasmBuffer>> {
    this.#expectOpen();
    const packing = packingFor(dtype, shape);
    if (packing === undefined) return this.#loadPlain(dtype, shape, read, unit);
    this.#provide([forWeight(packing)]);
    const what = `weights ${dtype}${formatShape(shape)}`;
    const buffer = this.#newBuffer(packingBytes(packing), 'weights', { place: { unit }, what, packing });
    const tensor = new Tensor(dtype, shape, buffer);
    const machine = this.#machineOf(buffer);
    const means: PackingMeans = {
      stage: (byteLength) => {
        this.#expectOpen();
        return this.#newBuffer(byteLength, 'scratch', { place: buffer, what: 'a part of a weight' });
      },
      release: (stage) => this.#release(stage),
      pack: async (job: PackJob) =>
        offload === undefined ? packRows(machine, job) : (offload(job) as Promise<number>),
    };
    try {
      await this.#stagingLine.inTurn(() => loadPackedRows(machine, tensor, read, means));
      this.#expectOpen();
      this.#fallbacks.noteWeight(tensor);
    } catch (error) {
      this.#release(buffer);
      throw error;
    }
    return tensor;
  }

  async #loadPlain(dtype: FloatDType, shape: Shape, read: ReadRange, unit: number): Promise<Tensor<WasmBuffer>> {
    const tensor = this.allocate(dtype, shape, 'weights', unit);
    const { address, byteLength } = tensor.buffer;
    const { memory } = this.#machineOf(tensor.buffer);
    try {
      await readInChunks(byteLength, async (start, length) => {
        await read(start, memory.bytes.subarray(address + start, address + start + length));
        this.#expectOpen();
      });
    } catch (error) {
      this.#release(tensor.buffer);
      throw error;
    }
    this.#fallbacks.noteWeight(tensor);
    return tensor;
  }

  upload(tensor: Tensor, values: Float32Array | Int32Array): void {
    this.#expectOpen();
    const buffer = this.#expectOwned('upload tensor', tensor);
    const dtype = checkUpload(tensor, values);
    const { machines } = this.#pool;
    const isMirrored = buffer.memory === MIRRORED;
    for (const { memory } of isMirrored ? machines : [this.#machineOf(buffer)]) {
      (dtype === 'f32' ? memory.floats : memory.ints).set(values, addressOf(tensor) / 4);
    }
    if (isMirrored) setHeldByAll(machines, buffer);
  }

  async download(tensor: Tensor): Promise<Float32Array> {
    this.#expectOpen();
    const buffer = this.#expectOwned('download tensor', tensor);
    if (tensor.dtype !== 'f32') throw new UnsupportedError(`download of ${tensor.dtype}`, 'only f32 tensors are read');
    const packing = packingOf(tensor);
    if (packing !== undefined) return unpackRows(this.#machineOf(buffer), tensor as Tensor<WasmBuffer>, packing);
    return new Float32Array(this.view(tensor));
  }

  /** @throws UnsupportedError for another dtype, or a weight that was packed */
  view(tensor: Tensor): Float32Array {
    this.#expectOpen();
    const buffer = this.#expectOwned('view tensor', tensor);
    if (tensor.dtype !== 'f32' || packingOf(tensor) !== undefined) {
      throw new UnsupportedError(`a view of ${tensor}`, 'only f32 tensors that are not packed can be seen in place');
    }
    const start = addressOf(tensor) / 4;
    return this.#machineOf(buffer).memory.floats.subarray(start, start + tensor.numElements);
  }

  async readBytes(tensor: Tensor, byteOffset: number, target: Uint8Array): Promise<void> {
    target.set(this.#range('readBytes', tensor, { byteOffset, byteLength: target.byteLength }));
  }

  writeBytes(tensor: Tensor, byteOffset: number, source: Uint8Array): void {
    const target = this.#range('writeBytes', tensor, { byteOffset, byteLength: source.byteLength });
    target.set(source);
    if (tensor.dtype !== 'f16') return;
    this.#provide(['pages f16']);
    lookForSpecials(this.#machineOf(tensor.buffer as WasmBuffer), tensor, target);
  }

  async sync(): Promise<void> {
    this.#expectOpen();
  }

  free(tensor: Tensor): void {
    this.#expectOpen();
    const buffer = this.#expectOwned('free tensor', tensor);
    const { packing } = buffer;
    const isWhole =
      packing === undefined
        ? tensor.byteOffset === 0 && tensor.byteLength === buffer.byteLength
        : packingOf(tensor) !== undefined;
    if (!isWhole) {
      throw new InvalidArgumentError('free tensor', `${tensor} is a view of a part; free the tensor it was cut from`);
    }
    this.#release(buffer);
  }

  memoryUsage(): MemoryUsage {
    return { ...this.#usage };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const buffer of [...this.#purposes.keys()]) this.#release(buffer);
  }

  /** The bytes of an unpacked tensor.
   * @throws InvalidArgumentError when the range leaves it */
  #range(
    what: string,
    tensor: Tensor,
    { byteOffset, byteLength }: { readonly byteOffset: number; readonly byteLength: number },
  ): Uint8Array<SharedArrayBuffer> {
    this.#expectOpen();
    const buffer = this.#expectOwned(`${what} tensor`, tensor);
    if (!(Number.isSafeInteger(byteOffset) && byteOffset >= 0 && byteOffset + byteLength <= tensor.byteLength)) {
      const rule = `${byteLength} bytes must fit into the ${tensor.byteLength} of ${tensor}`;
      throw new InvalidArgumentError(`${what} byteOffset`, `${rule}, got ${byteOffset}`, { byteOffset, byteLength });
    }
    const start = byteAddressOf(tensor) + byteOffset;
    return this.#machineOf(buffer).memory.bytes.subarray(start, start + byteLength);
  }

  #provide(sets: readonly KernelSet[]): void {
    if (!this.#library.provide(sets)) return;
    for (const machine of this.#pool.machines) machine.install(this.#library.compiled);
  }

  /** Zero-filled memory, counted. */
  #newBuffer(
    byteLength: number,
    purpose: MemoryPurpose,
    { place, ...piece }: Piece & { readonly place: Place },
  ): WasmBuffer {
    const buffer = this.#pool.allocate(byteLength, place, piece);
    this.#purposes.set(buffer, purpose);
    this.#usage[purpose] += byteLength;
    return buffer;
  }

  /** Of the memory that holds the buffer's contents now. */
  #machineOf(buffer: WasmBuffer): Machine {
    const { machines } = this.#pool;
    return machines[holderOf(machines, buffer)]!;
  }

  /** Does nothing for a buffer that close has released already. */
  #release(buffer: WasmBuffer): void {
    const purpose = this.#purposes.get(buffer);
    if (purpose === undefined) return;
    this.#purposes.delete(buffer);
    this.#usage[purpose] -= buffer.byteLength;
    buffer.isReleased = true;
    this.#pool.release(buffer);
  }

  #expectOpen(): void {
    if (this.#isClosed) throw new EngineClosedError();
  }

  /** @throws InvalidArgumentError for a tensor that another backend owns, that was freed, or that leaves its buffer. */
  #expectOwned(what: string, tensor: Tensor): WasmBuffer {
    const buffer = tensor.buffer as WasmBuffer;
    if (!this.#purposes.has(buffer)) {
      throw new InvalidArgumentError(what, `${tensor} ${whyNotOwned(tensor)}`, { owner: buffer.owner });
    }
    const { byteOffset, byteLength } = tensor;
    const room = buffer.packing === undefined ? buffer.byteLength : Number.POSITIVE_INFINITY;
    if (!(Number.isSafeInteger(byteOffset) && byteOffset >= 0 && byteOffset + byteLength <= room)) {
      const rule = `bytes ${byteOffset} to ${byteOffset + byteLength} leave its buffer of ${buffer.byteLength}`;
      throw new InvalidArgumentError(what, `${tensor}: ${rule}`);
    }
    return buffer;
  }
}

function whyNotOwned({ buffer }: Tensor): string {
  if (!(buffer instanceof WasmBuffer)) return `belongs to the backend '${buffer.owner}', not to '${WASM_OWNER}'`;
  return buffer.isReleased ? 'was freed' : 'belongs to another wasm backend';
}
