/** Records dispatches and copies into one command buffer and submits it when somebody needs the result, so that a whole
 * step costs one submission and one readback. What a kernel computes is not its business.
 *
 *   dispatch, dispatch, copy, ...      open encoder; the params of each dispatch are appended to `#params`
 *            | flush
 *            v
 *   writeBuffer(uniform, params)       one upload for the whole step; each dispatch has its offset in it
 *   queue.submit([commands])
 *
 * The queue keeps order: a later write to the uniform buffer cannot overtake the commands that still read it. */
import { UnsupportedError } from '../../errors.ts';
import { TapeShelf } from '../tape-shelf.ts';
import { BUFFER_USAGE } from './buffer-usage.ts';
import type { GpuDevice } from './gpu-device.ts';
import type { GpuDispatch, GpuKernel, GpuSlice } from './gpu-kernel.ts';
import { type CompiledKernel, PipelineCache } from './pipeline-cache.ts';
import { StagingBuffers } from './staging-buffers.ts';
import { type Finding, StepTape, type TapedDispatch } from './step-tape.ts';
import { type WaitTime, WaitTimes } from './wait-time.ts';

/** Room for the params of some thousand dispatches; a longer recording is submitted in pieces. */
const UNIFORM_BYTES = 512 * 1024;

/** Dispatches after which a recording is submitted though nobody waits: a GPU that has begun is not idle. */
const MAX_DISPATCHES = 2048;

/** Since the recorder was made. */
export interface CommandCounts {
  readonly dispatches: number;
  readonly submissions: number;
  readonly reads: number;
}

export class CommandRecorder {
  readonly #gpu: GpuDevice;
  readonly #pipelines: PipelineCache;
  readonly #staging: StagingBuffers;
  readonly #uniforms: GPUBuffer;
  readonly #params = new Uint32Array(UNIFORM_BYTES / 4);
  readonly #uniformAlignment: number;
  /** Made since the last submission, and before. A buffer may be destroyed once its last use is submitted. */
  #temporaries: GPUBuffer[] = [];
  #oldTemporaries: GPUBuffer[] = [];
  #paramsEnd = 0;
  #numDispatches = 0;
  readonly #counts = { dispatches: 0, submissions: 0, reads: 0 };
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** The pass's pipeline: kernels often come several in a row. */
  #current: CompiledKernel | undefined;
  /** Where the params of a dispatch begin, as the pass takes it. */
  readonly #offset = [0];
  readonly #tapes = new TapeShelf<StepTape>();
  /** What is being recorded to be played again. */
  #tape: StepTape | undefined;
  readonly #waitTimes = new WaitTimes();
  /** Of the dispatches submitted last. */
  #wait: WaitTime | undefined;
  /** Workgroups since the last submission. */
  #numWorkgroups = 0;

  constructor(gpu: GpuDevice) {
    this.#gpu = gpu;
    this.#uniforms = gpu.device.createBuffer({
      label: 'params',
      size: UNIFORM_BYTES,
      usage: BUFFER_USAGE.uniform | BUFFER_USAGE.copyTarget,
    });
    this.#pipelines = new PipelineCache(gpu, this.#uniforms);
    this.#staging = new StagingBuffers(gpu);
    this.#uniformAlignment = Math.max(16, gpu.limits.minUniformBufferOffsetAlignment);
  }

  get counts(): CommandCounts {
    return { ...this.#counts };
  }

  /** Runs a kernel after everything recorded before. A slice that is read while the kernel writes to the same buffer is
   * copied first: WebGPU knows no buffer that is both.
   * @throws DeviceLostError, EngineClosedError, UnsupportedError for more workgroups than the device takes */
  dispatch(kernel: GpuKernel, { storage, params, workgroups }: GpuDispatch): void {
    this.#gpu.expectAlive();
    this.#checkWorkgroups(kernel, workgroups);
    if (workgroups[0] * workgroups[1] * workgroups[2] === 0) return;
    const paramsBytes = params === undefined ? 0 : this.#roundUp(params.byteLength);
    if (this.#paramsEnd + paramsBytes > UNIFORM_BYTES || this.#numDispatches >= MAX_DISPATCHES) this.flush();

    const pipeline = this.#pipelines.pipelineOf(kernel);
    const slices = this.#withoutConflicts(pipeline, storage);
    const bindGroup = this.#pipelines.bindGroupOf(pipeline, slices, paramsBytes, this.#numDispatches);
    const paramsAt = params === undefined ? -1 : this.#paramsEnd;
    if (params !== undefined) {
      for (let i = 0; i < params.length; i++) this.#params[this.#paramsEnd / 4 + i] = params[i]!;
      this.#paramsEnd += paramsBytes;
    }
    const dispatch = { kernel: pipeline, bindGroup, paramsAt, workgroups };
    this.#encode(dispatch);
    this.#tape?.dispatches.push(dispatch);
  }

  /** Runs ops, or plays what they recorded the last time.
   * @param program  whose ops they are
   * @param size  with the program, says which ops on which tensors; only what lies in the tensors may differ */
  repeat(program: object, size: string, ops: () => void): void {
    this.#gpu.expectAlive();
    this.flush();
    const known = this.#tapes.find(program, size);
    if (known?.stillHolds()) {
      this.#play(known);
      return;
    }
    const tape = new StepTape();
    this.#tape = tape;
    try {
      ops();
      // Gone where more than dispatches was recorded, or more than fits into one submission.
      if (this.#tape !== tape) return;
      tape.params = this.#params.slice(0, this.#paramsEnd / 4);
      this.#tapes.put(program, size, tape);
    } finally {
      this.#tape = undefined;
    }
  }

  /** What ops see of integers in tensors, they must see through here: a step that is repeated looks again.
   * @returns what `look` finds; all that dispatches depend on must be in it */
  look(look: () => Finding): Finding {
    const finding = look();
    this.#tape?.addLook(look, finding);
    return finding;
  }

  /** A buffer for the next few commands. */
  temporary(byteLength: number): GPUBuffer {
    const size = Math.ceil(byteLength / 16) * 16;
    const usage = BUFFER_USAGE.storage | BUFFER_USAGE.copySource | BUFFER_USAGE.copyTarget;
    const buffer = this.#gpu.check('a temporary buffer', () => this.#gpu.device.createBuffer({ size, usage }), size);
    this.#temporaries.push(buffer);
    return buffer;
  }

  /** Copies bytes between buffers, in order. Offsets and length are multiples of 4; the buffers differ. */
  copy(source: GpuSlice, target: GPUBuffer, targetOffset: number): void {
    this.#gpu.expectAlive();
    if (source.byteLength === 0) return;
    this.#tape = undefined;
    this.#openEncoder().copyBufferToBuffer(source.buffer, source.byteOffset, target, targetOffset, source.byteLength);
  }

  /** Puts host bytes into a buffer, in order. Offset and length are multiples of 4. */
  write(target: GPUBuffer, byteOffset: number, bytes: Uint8Array): void {
    this.#gpu.expectAlive();
    this.flush();
    this.#tape = undefined;
    const { buffer, byteOffset: sourceOffset, byteLength } = bytes;
    this.#gpu.check('an upload', () => {
      this.#gpu.device.queue.writeBuffer(target, byteOffset, buffer as ArrayBuffer, sourceOffset, byteLength);
    });
  }

  /** Submits what is recorded. */
  flush(): void {
    const encoder = this.#encoder;
    if (encoder === undefined) return;
    this.#pass?.end();
    this.#pass = undefined;
    this.#encoder = undefined;
    this.#tape = undefined;
    this.#counts.submissions++;
    const { queue } = this.#gpu.device;
    this.#gpu.check('the commands of a step', () => {
      if (this.#paramsEnd > 0) queue.writeBuffer(this.#uniforms, 0, this.#params, 0, this.#paramsEnd / 4);
      queue.submit([encoder.finish()]);
    });
    if (this.#numDispatches > 0) {
      this.#wait = this.#waitTimes.of(this.#numDispatches, this.#numWorkgroups);
      this.#wait.submitted();
    }
    this.#paramsEnd = 0;
    this.#numDispatches = 0;
    this.#numWorkgroups = 0;
    // What was made just before this submission may be meant for the next.
    for (const buffer of this.#oldTemporaries) buffer.destroy();
    this.#oldTemporaries = this.#temporaries;
    this.#temporaries = [];
  }

  /** Fills `target` with a buffer's bytes as everything recorded before leaves them.
   * @throws DeviceLostError, DeviceError or OutOfMemoryError for anything that went wrong since the last wait */
  async read(source: GPUBuffer, byteOffset: number, target: Uint8Array): Promise<void> {
    this.#gpu.expectAlive();
    if (target.byteLength === 0) return;
    this.#counts.reads++;
    const start = byteOffset - (byteOffset % 4);
    const byteLength = Math.ceil((byteOffset + target.byteLength - start) / 4) * 4;
    const staging = this.#staging.take(byteLength);
    this.copy({ buffer: source, byteOffset: start, byteLength }, staging.buffer, 0);
    // Whoever asks for several results asks in one go: they leave in one submission.
    await undefined;
    this.flush();
    const wait = this.#wait;
    await wait?.sleep();
    this.#gpu.expectAlive();
    await this.#gpu.whileAlive(staging.read(byteLength, byteOffset - start, target));
    wait?.done();
    await this.#gpu.settle();
    this.#staging.giveBack(staging);
  }

  /** Resolves when everything recorded before has run.
   * @throws as `read` */
  async finish(): Promise<void> {
    this.#gpu.expectAlive();
    this.flush();
    await this.#gpu.finish();
  }

  /** To be called before a buffer that was bound is destroyed. */
  forget(buffer: GPUBuffer): void {
    this.flush();
    this.#pipelines.forget(buffer);
    this.#tapes.clear();
  }

  close(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#encoder = undefined;
    for (const buffer of [...this.#temporaries.splice(0), ...this.#oldTemporaries.splice(0)]) buffer.destroy();
    this.#staging.close();
    this.#uniforms.destroy();
  }

  #play(tape: StepTape): void {
    this.#params.set(tape.params);
    this.#paramsEnd = tape.params.byteLength;
    for (const dispatch of tape.dispatches) this.#encode(dispatch);
  }

  #encode({ kernel, bindGroup, paramsAt, workgroups }: TapedDispatch): void {
    const pass = this.#openPass();
    if (this.#current !== kernel) pass.setPipeline(kernel.pipeline);
    this.#current = kernel;
    this.#offset[0] = paramsAt;
    if (paramsAt < 0) pass.setBindGroup(0, bindGroup);
    else pass.setBindGroup(0, bindGroup, this.#offset);
    pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    this.#numWorkgroups += workgroups[0] * workgroups[1] * workgroups[2];
    this.#numDispatches++;
    this.#counts.dispatches++;
  }

  #roundUp(byteLength: number): number {
    return Math.ceil(byteLength / this.#uniformAlignment) * this.#uniformAlignment;
  }

  #checkWorkgroups(kernel: GpuKernel, workgroups: readonly number[]): void {
    const limit = this.#gpu.limits.maxComputeWorkgroupsPerDimension;
    if (workgroups[0]! <= limit && workgroups[1]! <= limit && workgroups[2]! <= limit) return;
    throw new UnsupportedError(
      `${kernel.label} of ${workgroups.join(' x ')} workgroups`,
      `the GPU takes ${limit} each way`,
    );
  }

  #openEncoder(): GPUCommandEncoder {
    this.#pass?.end();
    this.#pass = undefined;
    this.#encoder ??= this.#gpu.device.createCommandEncoder();
    return this.#encoder;
  }

  #openPass(): GPUComputePassEncoder {
    this.#encoder ??= this.#gpu.device.createCommandEncoder();
    if (this.#pass === undefined) {
      this.#pass = this.#encoder.beginComputePass();
      this.#current = undefined;
    }
    return this.#pass;
  }

  /** The storage arguments, with copies of those that the kernel reads from a buffer it also writes to. */
  #withoutConflicts({ reads, writes }: CompiledKernel, storage: readonly GpuSlice[]): readonly GpuSlice[] {
    let slices = storage;
    for (const write of writes) {
      for (const read of reads) {
        if (storage[read]!.buffer !== storage[write]!.buffer || slices[read] !== storage[read]) continue;
        slices = slices.with(read, this.#copyOf(storage[read]!));
      }
    }
    return slices;
  }

  #copyOf(slice: GpuSlice): GpuSlice {
    const { byteLength } = slice;
    const buffer = this.temporary(byteLength);
    this.copy(slice, buffer, 0);
    return { buffer, byteOffset: 0, byteLength };
  }
}
