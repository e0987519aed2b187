/** Compiled kernels, and the bind groups that tie their arguments to them. Both cost more to make than a dispatch costs to
 * record, and a step makes the same ones as the step before. */
import type { GpuDevice } from './gpu-device.ts';
import type { GpuBindingKind, GpuKernel, GpuSlice } from './gpu-kernel.ts';

/** `GPUShaderStage.COMPUTE`. */
const COMPUTE_STAGE = 0x4;

/** More bind groups than a model's step needs; beyond, all are made anew. */
const MAX_BIND_GROUPS = 16_384;

export interface CompiledKernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindings: readonly GpuBindingKind[];
  /** Which of the storage arguments are read, and which are written. */
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  readonly bindGroups: Map<string, GPUBindGroup>;
}

interface LastUse {
  readonly kernel: CompiledKernel;
  readonly storage: readonly GpuSlice[];
  readonly paramsBytes: number;
  readonly bindGroup: GPUBindGroup;
}

export class PipelineCache {
  readonly #gpu: GpuDevice;
  readonly #uniforms: GPUBuffer;
  readonly #compiled = new Map<GpuKernel, CompiledKernel>();
  /** Buffers by number, to name them in keys. */
  readonly #bufferIds = new WeakMap<GPUBuffer, number>();
  #nextBufferId = 0;
  #numBindGroups = 0;
  /** What the dispatch of each index was last. */
  readonly #lastAt: LastUse[] = [];

  constructor(gpu: GpuDevice, uniforms: GPUBuffer) {
    this.#gpu = gpu;
    this.#uniforms = uniforms;
  }

  /** Compiles a kernel the first time it is seen (the same object, not the same code). What the compiler says comes to
   * whoever waits for the device next. */
  pipelineOf(kernel: GpuKernel): CompiledKernel {
    const known = this.#compiled.get(kernel);
    if (known !== undefined) return known;
    const { device } = this.#gpu;
    const { label, code, entryPoint, bindings } = kernel;
    const compiled = this.#gpu.check(`the kernel ${label}`, () => {
      const layout = device.createBindGroupLayout({
        label,
        entries: bindings.map((kind, binding) => ({ binding, visibility: COMPUTE_STAGE, buffer: layoutOf(kind) })),
      });
      const pipeline = device.createComputePipeline({
        label,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module: device.createShaderModule({ label, code }), entryPoint },
      });
      const storage = bindings.filter((kind) => kind !== 'uniform');
      const numbersOf = (wanted: GpuBindingKind): number[] => storage.flatMap((kind, i) => (kind === wanted ? i : []));
      const [reads, writes] = [numbersOf('read'), numbersOf('read_write')];
      return { pipeline, layout, bindings, reads, writes, bindGroups: new Map() };
    });
    this.#compiled.set(kernel, compiled);
    return compiled;
  }

  /** @param paramsBytes  size of the window into the uniform buffer; the dispatch says where it begins
   * @param index  of the dispatch in its recording: most are the same as in the step before, which is quickly seen */
  bindGroupOf(kernel: CompiledKernel, storage: readonly GpuSlice[], paramsBytes: number, index: number): GPUBindGroup {
    const last = this.#lastAt[index];
    if (last?.kernel === kernel && last.paramsBytes === paramsBytes && haveSameSlices(last.storage, storage)) {
      return last.bindGroup;
    }
    const bindGroup = this.#bindGroupByKey(kernel, storage, paramsBytes);
    this.#lastAt[index] = { kernel, storage, paramsBytes, bindGroup };
    return bindGroup;
  }

  #bindGroupByKey(kernel: CompiledKernel, storage: readonly GpuSlice[], paramsBytes: number): GPUBindGroup {
    let key = `${paramsBytes}`;
    for (const { buffer, byteOffset, byteLength } of storage) {
      key += `,${this.#idOf(buffer)}:${byteOffset}:${byteLength}`;
    }
    const known = kernel.bindGroups.get(key);
    if (known !== undefined) return known;
    if (this.#numBindGroups >= MAX_BIND_GROUPS) this.#forgetAll();
    let next = 0;
    const entries = kernel.bindings.map((kind, binding) => {
      if (kind === 'uniform') return { binding, resource: { buffer: this.#uniforms, offset: 0, size: paramsBytes } };
      const { buffer, byteOffset, byteLength } = storage[next++]!;
      return { binding, resource: { buffer, offset: byteOffset, size: byteLength } };
    });
    const { label } = kernel.pipeline;
    const bindGroup = this.#gpu.check(`the arguments of ${label}`, () =>
      this.#gpu.device.createBindGroup({ label, layout: kernel.layout, entries }),
    );
    kernel.bindGroups.set(key, bindGroup);
    this.#numBindGroups++;
    return bindGroup;
  }

  /** Lets go of bind groups that hold a buffer. */
  forget(buffer: GPUBuffer): void {
    const id = this.#bufferIds.get(buffer);
    if (id === undefined) return;
    this.#lastAt.length = 0;
    for (const { bindGroups } of this.#compiled.values()) {
      for (const key of bindGroups.keys()) {
        if (!key.includes(`,${id}:`)) continue;
        bindGroups.delete(key);
        this.#numBindGroups--;
      }
    }
  }

  #forgetAll(): void {
    this.#lastAt.length = 0;
    for (const { bindGroups } of this.#compiled.values()) bindGroups.clear();
    this.#numBindGroups = 0;
  }

  #idOf(buffer: GPUBuffer): number {
    let id = this.#bufferIds.get(buffer);
    if (id === undefined) {
      id = this.#nextBufferId++;
      this.#bufferIds.set(buffer, id);
    }
    return id;
  }
}

function layoutOf(kind: GpuBindingKind): GPUBufferBindingLayout {
  switch (kind) {
    case 'uniform':
      return { type: 'uniform', hasDynamicOffset: true };
    case 'read':
      return { type: 'read-only-storage' };
    case 'read_write':
      return { type: 'storage' };
    default:
      return kind satisfies never;
  }
}

function haveSameSlices(some: readonly GpuSlice[], others: readonly GpuSlice[]): boolean {
  for (let i = 0; i < others.length; i++) {
    const [a, b] = [some[i]!, others[i]!];
    if (a.buffer !== b.buffer || a.byteOffset !== b.byteOffset || a.byteLength !== b.byteLength) return false;
  }
  return true;
}
