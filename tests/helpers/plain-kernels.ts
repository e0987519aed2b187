/** Runs the kernels of `engine/kernels/gpujs` as what they are, plain functions, on the host: no gpu.js, no GPU. What is
 * wrong here is wrong in a kernel or in how an op launches it; what is wrong only on a GPU is the compiler's part. */
import { checkArgs } from '../../engine/kernels/check-args.ts';
import {
  BYTES_PER_ELEMENT,
  type ElementKind,
  isScalar,
  type KernelSource,
  type KernelThread,
} from '../../engine/kernels/gpujs/kernel-source.ts';
import { MATMUL } from '../../engine/kernels/gpujs/kernels/matmul.ts';
import { type ArrayView, type Launch, packParams } from '../../engine/kernels/gpujs/launch.ts';
import { runOp } from '../../engine/kernels/gpujs/ops/index.ts';
import type { KernelFormat, OpTarget } from '../../engine/kernels/gpujs/ops/op-target.ts';
import type { OpArgs, OpName } from '../../engine/kernels/ops.ts';
import { FormattedView, hostBytes, intsOf } from '../../engine/kernels/reference/host-memory.ts';
import { ReferenceBackend } from '../../engine/kernels/reference/reference-backend.ts';
import type { FloatDType } from '../../engine/tensor/dtype.ts';
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import { numElements } from '../../engine/tensor/shape.ts';
import { bytesPerRow } from '../../engine/tensor/storage.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';

/** The reference backend's memory with the kernels' ops. */
export class PlainKernelBackend extends ReferenceBackend {
  readonly target = new PlainTarget();
  override embed = (args: OpArgs['embed']): void => this.#run('embed', args);
  override rmsNorm = (args: OpArgs['rmsNorm']): void => this.#run('rmsNorm', args);
  override layerNorm = (args: OpArgs['layerNorm']): void => this.#run('layerNorm', args);
  override matmul = (args: OpArgs['matmul']): void => this.#run('matmul', args);
  override gatedMatmul = (args: OpArgs['gatedMatmul']): void => this.#run('gatedMatmul', args);
  override rope = (args: OpArgs['rope']): void => this.#run('rope', args);
  override writeKv = (args: OpArgs['writeKv']): void => this.#run('writeKv', args);
  override pagedAttention = (args: OpArgs['pagedAttention']): void => this.#run('pagedAttention', args);
  override siluMul = (args: OpArgs['siluMul']): void => this.#run('siluMul', args);
  override geluMul = (args: OpArgs['geluMul']): void => this.#run('geluMul', args);
  override add = (args: OpArgs['add']): void => this.#run('add', args);
  override gatherRows = (args: OpArgs['gatherRows']): void => this.#run('gatherRows', args);
  override copyBlocks = (args: OpArgs['copyBlocks']): void => this.#run('copyBlocks', args);
  override tokenLogprobs = (args: OpArgs['tokenLogprobs']): void => this.#run('tokenLogprobs', args);
  override topLogits = (args: OpArgs['topLogits']): void => this.#run('topLogits', args);
  override softmaxSums = (args: OpArgs['softmaxSums']): void => this.#run('softmaxSums', args);

  #run<Name extends OpName>(op: Name, args: OpArgs[Name]): void {
    checkArgs(op, args);
    runOp(this.target, op, args);
  }
}

/** Buffers are the memory objects themselves. */
export class PlainTarget implements OpTarget {
  /** Few, so that most tests of attention run in chunks of rows. */
  readonly maxScratchElements = 200;
  /** Rows of a weight per "buffer": few, so that every test splits its weights. */
  readonly rowsPerPart = 20;
  readonly #scratch = new Map<string, Float32Array<ArrayBuffer>>();
  /** Names of the kernels that ran. */
  readonly kernels: string[] = [];

  run(source: KernelSource, launch: Launch): void {
    packParams(source, launch);
    this.kernels.push(source.kernel.name);
    runThreads(source, launch);
  }

  view(tensor: Tensor, dims: readonly number[]): ArrayView {
    if (numElements(dims) !== tensor.numElements) throw new Error(`${tensor} seen as [${dims}]`);
    const start = tensor.byteOffset / BYTES_PER_ELEMENT[tensor.dtype as ElementKind];
    return { buffer: hostBytes(tensor).buffer, dims, start };
  }

  halves(tensor: Tensor, dims: readonly number[]): ArrayView {
    return { buffer: hostBytes(tensor).buffer, dims, start: tensor.byteOffset / 2 };
  }

  weight(tensor: Tensor) {
    const [numRows, rowLength] = tensor.shape as [number, number];
    const isKernelFormat = tensor.dtype in MATMUL;
    const format = (isKernelFormat ? tensor.dtype : 'f32') as KernelFormat;
    const buffer = isKernelFormat ? hostBytes(tensor).buffer : valuesOf(tensor).buffer;
    const rowBytes = bytesPerRow(format, rowLength);
    const parts = [];
    for (let firstRow = 0; firstRow < numRows; firstRow += this.rowsPerPart) {
      const byteOffset = (isKernelFormat ? tensor.byteOffset : 0) + firstRow * rowBytes;
      const rows = Math.min(this.rowsPerPart, numRows - firstRow);
      parts.push({ buffer, byteOffset, bytesPerRow: rowBytes, firstRow, numRows: rows });
    }
    return { format, parts };
  }

  vector(tensor: Tensor): ArrayView {
    return { buffer: valuesOf(tensor).buffer, dims: [tensor.numElements], start: 0 };
  }

  scratch(name: string, dims: readonly number[]): ArrayView {
    let memory = this.#scratch.get(name);
    if (memory === undefined || memory.length < numElements(dims)) {
      memory = new Float32Array(numElements(dims)).fill(Number.NaN);
      this.#scratch.set(name, memory);
    }
    return { buffer: memory.buffer, dims, start: 0 };
  }

  look(tensors: readonly Tensor[], find: (...ints: Int32Array[]) => readonly number[]): readonly number[] {
    return find(...tensors.map(intsOf));
  }
}

function valuesOf(tensor: Tensor): Float32Array<ArrayBuffer> {
  const values = new Float32Array(tensor.numElements);
  new FormattedView(tensor).read(0, values.length, values);
  return values;
}

/** Calls the kernel once per thread, in an order far from that of the indices: on a GPU there is none. */
export function runThreads(source: KernelSource, { inputs, out, threads }: Launch): void {
  const args = Object.entries(source.parameters).map(([name, kind]) =>
    isScalar(kind) ? (inputs[name] as number) : nested(inputs[name] as ArrayView, kind),
  );
  const { byteLength } = out.buffer as ArrayBuffer;
  const target = new Float32Array(out.buffer as ArrayBuffer, 0, Math.floor(byteLength / 4));
  const store = storeOf(source, out.buffer as ArrayBuffer);
  const [sizeX = 1, sizeY = 1] = out.dims.toReversed();
  const at = (x: number, y: number, z: number): number => out.start + x + sizeX * (y + sizeY * z);
  const [numX, numY = 1, numZ = 1] = threads as [number, number?, number?];
  const numThreads = numX * numY * numZ;
  const step = [7919, 104_729, 1_299_709].find((prime) => numThreads % prime !== 0)!;
  for (let i = 0; i < numThreads; i++) {
    const thread = (i * step) % numThreads;
    const [x, y, z] = [thread % numX, Math.floor(thread / numX) % numY, Math.floor(thread / numX / numY)] as const;
    const returned = (source.kernel as (this: KernelThread, ...values: unknown[]) => unknown).apply(
      { thread: { x, y, z } },
      args,
    );
    const values = returned as readonly [number, number, number, number];
    switch (source.result) {
      case 'element':
        target[at(x, y, z)] = returned as number;
        break;
      case 'pair':
        target[2 * at(x, y, z)] = values[0];
        target[2 * at(x, y, z) + 1] = values[1];
        break;
      case 'scatter':
        if (values[1] >= 0) store(at(values[1], values[2], values[3]), values[0]);
        break;
      case 'columns':
        target[at(values[2], y, z)] = values[0];
        target[at(values[3], y, z)] = values[1];
        break;
      default:
        source.result satisfies never;
    }
  }
}

/** Puts a value into an element of the result. */
function storeOf({ resultElement = 'f32' }: KernelSource, buffer: ArrayBuffer): (i: number, value: number) => void {
  if (resultElement === 'u16') {
    const halves = new Uint16Array(buffer);
    return (i, stored) => {
      halves[i] = stored;
    };
  }
  const format = quantFormat(resultElement);
  const [value, bytes] = [new Float32Array(1), new Uint8Array(buffer)];
  return (i, stored) => {
    value[0] = stored;
    format.quantize!(value, 0, bytes, i * format.bytesPerBlock, 1);
  };
}

type Nested = ArrayLike<number> | readonly Nested[];

/** An array of as many dimensions as the view has; f32 ones are the memory itself. */
function nested({ buffer, dims, start }: ArrayView, kind: ElementKind): Nested {
  const [outer, ...inner] = dims as [number, ...number[]];
  if (inner.length === 0) return elements(buffer as ArrayBuffer, kind, start, outer);
  const size = inner.reduce((product, n) => product * n, 1);
  return Array.from({ length: outer }, (_, i) => nested({ buffer, dims: inner, start: start + i * size }, kind));
}

function elements(buffer: ArrayBuffer, kind: ElementKind, start: number, length: number): ArrayLike<number> {
  switch (kind) {
    case 'f32':
      // The last row of a view that begins in the middle of rows ends past the buffer; nobody reads that.
      return new Float32Array(buffer, start * 4, Math.min(length, buffer.byteLength / 4 - start));
    case 'logit':
      return new Float32Array(buffer, start * 4, length).map((x) => (Number.isNaN(x) ? Number.NEGATIVE_INFINITY : x));
    case 'i32':
      return new Int32Array(buffer, start * 4, length);
    case 'u8':
      return new Uint8Array(buffer, start, length);
    case 'i8':
      return new Int8Array(buffer, start, length);
    case 'u16':
      return new Uint16Array(buffer, start * 2, length);
    case 'f16':
    case 'bf16':
    case 'q8_0': {
      const values = new Float32Array(length);
      const format = quantFormat(kind satisfies FloatDType);
      const byteOffset = start * BYTES_PER_ELEMENT[kind];
      format.dequantize(new Uint8Array(buffer), byteOffset, values, 0, length / format.blockSize);
      return values;
    }
    default:
      return kind satisfies never;
  }
}
