/** The WebGPU backend: hand-written WGSL over one device. Ops are recorded, not run; the GPU gets them when somebody waits
 * for a result. Memory, recording and kernels are each their own file's business. */
import { type DeviceLostError, EngineClosedError, InvalidArgumentError, UnsupportedError } from '../../errors.ts';
import type { DType, FloatDType } from '../../tensor/dtype.ts';
import type { Shape } from '../../tensor/shape.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { checkArgs } from '../check-args.ts';
import { checkUpload, supportsWhatFits } from '../check-memory.ts';
import type { FeatureState, KernelBackend, MemoryPurpose, MemoryUsage, ReadRange } from '../kernel-backend.ts';
import type { OpArgs, OpName } from '../ops.ts';
import { type CommandCounts, CommandRecorder } from './command-recorder.ts';
import { findAbilities } from './find-abilities.ts';
import { type AbilityOptions, type FoundAbilities, PLAIN_ABILITIES } from './gpu-abilities.ts';
import { findAdapter } from './gpu-adapter.ts';
import type { GpuBuffer } from './gpu-buffer.ts';
import { GpuDevice } from './gpu-device.ts';
import { GpuMemory } from './gpu-memory.ts';
import { loadWeight } from './load-weight.ts';
import { KernelLibrary, type OpContext } from './op-context.ts';
import type { GpuOpSet } from './op-set.ts';
import { placeBytes } from './ops/copy-blocks.ts';
import { GPU_OPS } from './ops/index.ts';
import { whyNotTop } from './ops/top-logits.ts';
import { ScratchBuffers } from './scratch-buffers.ts';
import { matrixFormat } from './weight-formats/index.ts';
import { whyNotWeights } from './weight-views.ts';

export const WEBGPU_OWNER = 'webgpu';

export interface WebGpuBackendOptions {
  /** The longest buffer for a part of a weight, in bytes, where that is less than the device's own limit; for tests. */
  readonly maxWeightBytes?: number;
  /** What `findAbilities` said. Absent: only what every device can. */
  readonly found?: FoundAbilities;
}

/** @throws UnsupportedError where there is no GPU, DeviceError when its driver refuses */
export async function createWebGpuBackend(
  options: AbilityOptions & Pick<WebGpuBackendOptions, 'maxWeightBytes'> = {},
): Promise<WebGpuBackend> {
  const adapter = await findAdapter({ wantsMatrices: options.matmulPrecision === 'f16' });
  if (typeof adapter === 'string') throw new UnsupportedError('backend webgpu', adapter);
  const gpu = await GpuDevice.open(adapter.gpu, adapter.adapter);
  return new WebGpuBackend(gpu, { ...options, found: await findAbilities(gpu, options) });
}

/** Hand-written WGSL. */
const HAND_WRITTEN: GpuOpSet = {
  owner: WEBGPU_OWNER,
  matrixFormat,
  supports(op, args) {
    if (GPU_OPS[op] === undefined) return `webgpu has no kernel for ${op}`;
    const answer = supportsWhatFits(op, args);
    if (answer !== true) return answer;
    if (op === 'topLogits') return whyNotTop((args as OpArgs['topLogits']).out.shape[1]!) ?? true;
    return whyNotWeights(args) ?? true;
  },
  run(context, op, args) {
    const run = GPU_OPS[op];
    if (run === undefined) throw new UnsupportedError(`${op} on webgpu`, 'it has no kernel for this op');
    run(context, args);
  },
};

export class WebGpuBackend implements KernelBackend {
  readonly name: string;
  readonly features: Readonly<Record<string, FeatureState>>;
  readonly kvPageLayout: string;
  /** The device, for who measures or breaks it. */
  readonly gpu: GpuDevice;
  readonly #recorder: CommandRecorder;
  readonly #memory: GpuMemory;
  readonly #context: OpContext;
  readonly #ops: GpuOpSet;
  #closing: Promise<void> | undefined;

  /** Takes the device over.
   * @param ops  the kernels; another backend brings its own */
  constructor(gpu: GpuDevice, { maxWeightBytes, found }: WebGpuBackendOptions = {}, ops = HAND_WRITTEN) {
    this.name = ops.owner;
    this.#ops = ops;
    this.gpu = gpu;
    this.#recorder = new CommandRecorder(gpu);
    this.#memory = new GpuMemory(ops.owner, gpu, this.#recorder, maxWeightBytes);
    this.#context = {
      memory: this.#memory,
      recorder: this.#recorder,
      library: new KernelLibrary(),
      scratch: new ScratchBuffers(),
      abilities: found?.abilities ?? PLAIN_ABILITIES,
      workgroupBytes: gpu.limits.maxComputeWorkgroupStorageSize,
    };
    const { name, isSoftware, fingerprint } = gpu.adapter;
    this.features = {
      hardware: isSoftware ? { used: false, reason: `${name} is software` } : { used: true },
      ...found?.features,
    };
    const { tileProducts, matvecProducts } = this.#context.abilities;
    const products = [typeof tileProducts === 'string' ? tileProducts : 'matrices', matvecProducts].join(' ');
    this.kvPageLayout = `${ops.owner} rows 2 ${products} ${fingerprint}`;
  }

  get deviceLoss(): DeviceLostError | undefined {
    return this.gpu.loss;
  }

  /** The adapter's name, as its driver gives it. */
  get adapterName(): string {
    return this.gpu.adapter.name;
  }

  /** What was asked of the GPU so far. */
  get commandCounts(): CommandCounts {
    return this.#recorder.counts;
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

  #run<Name extends OpName>(op: Name, args: OpArgs[Name]): void {
    this.#expectOpen();
    checkArgs(op, args);
    for (const name in args) {
      const value = args[name];
      if (value instanceof Tensor && !this.#memory.owns(value)) this.#memory.expectOwned(`${op} ${name}`, value);
    }
    this.#ops.run(this.#context, op, args);
  }

  repeat(program: object, size: string, ops: () => void): void {
    this.#expectOpen();
    this.#recorder.repeat(program, size, ops);
  }

  supports<Name extends OpName>(op: Name, args: OpArgs[Name]): true | string {
    return this.#ops.supports(op, args);
  }

  allocate(dtype: DType, shape: Shape, purpose: MemoryPurpose): Tensor<GpuBuffer> {
    this.#expectOpen();
    return this.#memory.allocate(dtype, shape, purpose);
  }

  /** Formats without kernels become f32.
   * @throws OutOfMemoryError when the GPU has no room; DeviceLostError */
  async loadWeight(dtype: FloatDType, shape: Shape, read: ReadRange): Promise<Tensor<GpuBuffer>> {
    this.#expectOpen();
    const { matrixFormat } = this.#ops;
    const target = { gpu: this.gpu, memory: this.#memory, recorder: this.#recorder, matrixFormat };
    return loadWeight(target, { dtype, shape }, read);
  }

  upload(tensor: Tensor, values: Float32Array | Int32Array): void {
    this.#expectOpen();
    const buffer = this.#memory.plainBuffer('upload tensor', tensor);
    checkUpload(tensor, values);
    if (values instanceof Int32Array) this.#memory.intsOf(tensor).set(values);
    if (values.length === 0) return;
    this.#recorder.write(buffer, tensor.byteOffset, bytesOf(values));
  }

  async download(tensor: Tensor): Promise<Float32Array> {
    this.#expectOpen();
    const { contents } = this.#memory.expectOwned('download tensor', tensor);
    if (tensor.dtype !== 'f32') throw new UnsupportedError(`download of ${tensor.dtype}`, 'only f32 tensors are read');
    const values = new Float32Array(tensor.numElements);
    if ('chunks' in contents) throw new UnsupportedError(`download of ${tensor}`, 'it is a weight, packed for kernels');
    await this.#recorder.read(contents, tensor.byteOffset, bytesOf(values));
    return values;
  }

  async readBytes(tensor: Tensor, byteOffset: number, target: Uint8Array): Promise<void> {
    const start = this.#rangeStart('readBytes', tensor, { byteOffset, byteLength: target.byteLength });
    await this.#recorder.read(this.#memory.plainBuffer('readBytes tensor', tensor), start, target);
  }

  writeBytes(tensor: Tensor, byteOffset: number, source: Uint8Array): void {
    const { byteLength } = source;
    const start = this.#rangeStart('writeBytes', tensor, { byteOffset, byteLength });
    const buffer = this.#memory.plainBuffer('writeBytes tensor', tensor);
    if (byteLength === 0) return;
    if (start % 4 === 0 && byteLength % 4 === 0) {
      this.#recorder.write(buffer, start, source);
      return;
    }
    // The host cannot write a part of a word: a kernel puts the bytes in their places.
    const words = new Uint8Array(Math.ceil(byteLength / 4) * 4);
    words.set(source);
    const scratch = this.#recorder.temporary(words.length);
    this.#recorder.write(scratch, 0, words);
    placeBytes(this.#context, { buffer: scratch, byteOffset: 0, byteLength }, buffer, start);
  }

  async sync(): Promise<void> {
    this.#expectOpen();
    await this.#recorder.finish();
  }

  free(tensor: Tensor): void {
    this.#expectOpen();
    this.#memory.free(tensor);
    this.#context.scratch.releaseIfAlone(this.#memory);
  }

  memoryUsage(): MemoryUsage {
    return this.#memory.usage;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#memory.releaseAll();
    this.#recorder.close();
    await this.gpu.close();
  }

  /** Where a range of a tensor's bytes begins in its buffer. */
  #rangeStart(
    what: string,
    tensor: Tensor,
    { byteOffset, byteLength }: { readonly byteOffset: number; readonly byteLength: number },
  ): number {
    this.#expectOpen();
    this.#memory.expectOwned(`${what} tensor`, tensor);
    if (!(Number.isSafeInteger(byteOffset) && byteOffset >= 0 && byteOffset + byteLength <= tensor.byteLength)) {
      const rule = `${byteLength} bytes must fit into the ${tensor.byteLength} of ${tensor}`;
      throw new InvalidArgumentError(`${what} byteOffset`, `${rule}, got ${byteOffset}`, { byteOffset, byteLength });
    }
    return tensor.byteOffset + byteOffset;
  }

  #expectOpen(): void {
    if (this.#closing !== undefined) throw new EngineClosedError();
  }
}

function bytesOf(values: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
