/** Ops' launches on a GPU: a kernel's arrays become bindings, its params bytes, and the recorder takes it from there. */
import { UnsupportedError } from '../../errors.ts';
import type { FloatDType } from '../../tensor/dtype.ts';
import { numElements } from '../../tensor/shape.ts';
import { bytesPerRow } from '../../tensor/storage.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { GpuSlice } from '../webgpu/gpu-kernel.ts';
import { look, type OpContext } from '../webgpu/op-context.ts';
import { bindVector, weightParts } from '../webgpu/weight-views.ts';
import type { KernelCompiler } from './kernel-compiler.ts';
import { BYTES_PER_ELEMENT, isScalar, type KernelSource, type Parameter, parametersOf } from './kernel-source.ts';
import { type ArrayView, inPlaceOf, type Launch, packParams, workgroupsOf } from './launch.ts';
import type { LoadedWeight, OpTarget, WeightRows } from './ops/op-target.ts';
import { kernelFormat } from './stored-formats.ts';

/** A view whose buffer is a GPU's, as all are here. */
interface GpuView extends ArrayView {
  readonly buffer: GPUBuffer;
}

export class GpuOpTarget implements OpTarget {
  /** 32 MiB: the scores of 64 rows of 32 heads over 4096 keys. */
  readonly maxScratchElements = 8 * 1024 * 1024;
  readonly #context: OpContext;
  readonly #compiler: KernelCompiler;
  /** Buffers are bound whole, so that bind groups can be kept; where an array begins in them is in the params. The size is
   * asked for once: it is the driver's answer, and a step binds a thousand buffers. */
  readonly #slices = new WeakMap<GPUBuffer, GpuSlice>();
  /** Kept, as launches ask for them hundreds of times a step. */
  readonly #parameters = new Map<KernelSource, readonly Parameter[]>();

  constructor(context: OpContext, compiler: KernelCompiler) {
    this.#context = context;
    this.#compiler = compiler;
  }

  run(source: KernelSource, launch: Launch): void {
    if (numElements(launch.threads) === 0) return;
    const parameters = this.#parametersOf(source);
    const inPlace = inPlaceOf(parameters, launch);
    const kernel = this.#compiler.kernelOf(source, inPlace);
    const storage: GpuSlice[] = [];
    for (const { name, kind } of parameters) {
      if (!isScalar(kind) && !inPlace.includes(name)) storage.push(this.#sliceOf(launch.inputs[name] as GpuView));
    }
    storage.push(this.#sliceOf(launch.out as GpuView));
    this.#context.recorder.dispatch(kernel, {
      storage,
      params: packParams(source, launch, parameters),
      workgroups: workgroupsOf(launch),
    });
  }

  view(tensor: Tensor, dims: readonly number[]): GpuView {
    const buffer = this.#context.memory.plainBuffer('argument', tensor);
    return { buffer, dims, start: tensor.byteOffset / BYTES_PER_ELEMENT[tensor.dtype as 'f32'] };
  }

  halves(tensor: Tensor, dims: readonly number[]): GpuView {
    return { buffer: this.#context.memory.plainBuffer('argument', tensor), dims, start: tensor.byteOffset / 2 };
  }

  weight(tensor: Tensor): LoadedWeight {
    const { memory } = this.#context;
    const [numRows, rowLength] = tensor.shape as [number, number];
    const dtype = tensor.dtype as FloatDType;
    const format = kernelFormat(dtype);
    const rowBytes = bytesPerRow(format, rowLength);
    const { contents } = memory.expectOwned('weight', tensor);
    const rows = (part: Omit<WeightRows, 'bytesPerRow'>): WeightRows => ({ ...part, bytesPerRow: rowBytes });
    if (!('chunks' in contents)) {
      if (format !== dtype) throw new UnsupportedError(`${tensor} as a weight`, 'no kernel reads it; load it as one');
      return { format, parts: [rows({ buffer: contents, byteOffset: tensor.byteOffset, firstRow: 0, numRows })] };
    }
    const parts = weightParts(memory, tensor).map(({ slice, rowInBuffer, firstRow, numRows }) =>
      rows({ buffer: slice.buffer, byteOffset: rowInBuffer * rowBytes, firstRow, numRows }),
    );
    return { format, parts };
  }

  vector(tensor: Tensor): GpuView {
    const { buffer, byteOffset, wordOffset } = bindVector(this.#context.memory, tensor);
    return { buffer, dims: [tensor.numElements], start: byteOffset / 4 + wordOffset };
  }

  scratch(name: string, dims: readonly number[]): GpuView {
    return { buffer: this.#context.scratch.take(this.#context.memory, name, numElements(dims)), dims, start: 0 };
  }

  look(tensors: readonly Tensor[], find: (...ints: Int32Array[]) => readonly number[]): readonly number[] {
    return look(this.#context, tensors, find);
  }

  #parametersOf(source: KernelSource): readonly Parameter[] {
    let parameters = this.#parameters.get(source);
    if (parameters === undefined) {
      parameters = parametersOf(source);
      this.#parameters.set(source, parameters);
    }
    return parameters;
  }

  #sliceOf({ buffer }: GpuView): GpuSlice {
    let slice = this.#slices.get(buffer);
    if (slice === undefined) {
      slice = { buffer, byteOffset: 0, byteLength: buffer.size };
      this.#slices.set(buffer, slice);
    }
    return slice;
  }
}
