/** One run of a kernel: what its parameters are this time, and the bytes that tell the shader so. Refuses sizes that the
 * compiled kernel would count wrongly. Knows no tensors and no device.
 *
 *   params   | threads x y z | 0 | result: x y z start | dims of each array: x y z start | scalars ... | padding to 16 bytes
 *              u32                 u32                    u32                                i32 or f32          */
import { InvalidArgumentError, UnsupportedError } from '../../errors.ts';
import { isScalar, type KernelSource } from './kernel-source.ts';
import { MAX_EXACT_INTEGER, WORKGROUP_SIZE } from './limits.ts';

/** An array in a buffer, as a kernel sees it. */
export interface ArrayView {
  /** Only compared here: an input in the result's buffer is read in place. */
  readonly buffer: object;
  /** Up to three sizes, the innermost last, in elements of the parameter's kind. */
  readonly dims: readonly number[];
  /** Where it begins, in elements of that kind. */
  readonly start: number;
}

export interface Launch {
  /** Every parameter by name. */
  readonly inputs: Readonly<Record<string, ArrayView | number>>;
  readonly out: ArrayView;
  /** Along x, y and z; 1 where absent. */
  readonly threads: readonly number[];
}

/** Names of the parameters that lie in the buffer that the result goes to. */
export function inPlaceOf(source: KernelSource, { inputs, out }: Launch): readonly string[] {
  return Object.keys(source.parameters).filter((name) => {
    const input = inputs[name];
    return typeof input === 'object' && input.buffer === out.buffer;
  });
}

/** Whole workgroups that cover the threads. */
export function workgroupsOf({ threads }: Launch): [number, number, number] {
  return [Math.ceil(threads[0]! / WORKGROUP_SIZE), threads[1] ?? 1, threads[2] ?? 1];
}

/** The params struct of one run.
 * @throws UnsupportedError for sizes and numbers beyond what the kernel counts exactly */
export function packParams(source: KernelSource, launch: Launch): Uint32Array {
  const { name } = source.kernel;
  const entries = Object.entries(source.parameters);
  const numArrays = entries.filter(([, kind]) => !isScalar(kind)).length;
  const params = new Uint32Array(Math.ceil((8 + 4 * numArrays + entries.length - numArrays) / 4) * 4);
  for (let i = 0; i < 3; i++) params[i] = exactSize(`${name} threads`, launch.threads[i] ?? 1);
  packView(params, 4, launch.out, `${name} result`);

  const signed = new Int32Array(params.buffer);
  const floats = new Float32Array(params.buffer);
  let nextArray = 8;
  let nextScalar = 8 + 4 * numArrays;
  for (const [parameter, kind] of entries) {
    const what = `${name} ${parameter}`;
    const value = launch.inputs[parameter];
    if (kind === 'integer') signed[nextScalar++] = exactInteger(what, value);
    else if (kind === 'float') floats[nextScalar++] = expectNumber(what, value);
    else {
      packView(params, nextArray, expectView(what, value), what);
      nextArray += 4;
    }
  }
  return params;
}

function packView(params: Uint32Array, at: number, { dims, start }: ArrayView, what: string): void {
  const sizes = dims.toReversed();
  for (let i = 0; i < 3; i++) params[at + i] = exactSize(what, sizes[i] ?? 1);
  const end = start + (sizes[0] ?? 1) * (sizes[1] ?? 1) * (sizes[2] ?? 1);
  if (!(Number.isSafeInteger(start) && start >= 0 && end <= 2 ** 32)) {
    throw new UnsupportedError(`${what} up to element ${end}`, `kernels index at most ${2 ** 32} elements of a buffer`);
  }
  params[at + 3] = start;
}

function exactSize(what: string, size: number): number {
  if (size >= 0) return exactInteger(what, size);
  throw new InvalidArgumentError(what, `must be a size, got ${size}`, { size });
}

function exactInteger(what: string, value: unknown): number {
  const number = expectNumber(what, value);
  if (Number.isInteger(number) && Math.abs(number) <= MAX_EXACT_INTEGER) return number;
  throw new UnsupportedError(`${what} of ${number}`, `kernels count whole numbers up to ${MAX_EXACT_INTEGER}`, {
    value: number,
  });
}

function expectNumber(what: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError(what, `must be a finite number, got ${value}`);
}

function expectView(what: string, value: ArrayView | number | undefined): ArrayView {
  if (typeof value === 'object') return value;
  throw new InvalidArgumentError(what, `must be an array view, got ${value}`);
}
