/** One run of a kernel: what its parameters are this time, and the bytes that tell the shader so. Refuses sizes that the
 * compiled kernel would count wrongly. Knows no tensors and no device.
 *
 *   params   | threads x y z | 0 | result: x y z start | dims of each array: x y z start | scalars ... | padding to 16 bytes
 *              u32                 u32                    u32                                i32 or f32          */
import { InvalidArgumentError, UnsupportedError } from '../../errors.ts';
import { isScalar, type KernelSource, type Parameter, parametersOf } from './kernel-source.ts';
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

const NONE: readonly string[] = [];

/** Names of the parameters that lie in the buffer that the result goes to. */
export function inPlaceOf(parameters: readonly Parameter[], { inputs, out }: Launch): readonly string[] {
  let names = NONE;
  for (const { name } of parameters) {
    const input = inputs[name];
    if (typeof input === 'object' && input.buffer === out.buffer) names = [...names, name];
  }
  return names;
}

/** Whole workgroups that cover the threads. */
export function workgroupsOf({ threads }: Launch): [number, number, number] {
  return [Math.ceil(threads[0]! / WORKGROUP_SIZE), threads[1] ?? 1, threads[2] ?? 1];
}

/** The params struct of one run.
 * @throws UnsupportedError for sizes and numbers beyond what the kernel counts exactly */
export function packParams(
  source: KernelSource,
  launch: Launch,
  parameters: readonly Parameter[] = parametersOf(source),
): Uint32Array {
  let numArrays = 0;
  for (const { kind } of parameters) if (!isScalar(kind)) numArrays++;
  const params = new Uint32Array(Math.ceil((8 + 4 * numArrays + parameters.length - numArrays) / 4) * 4);
  for (let i = 0; i < 3; i++) params[i] = exactSize(`${source.kernel.name} threads`, launch.threads[i] ?? 1);
  packView(params, 4, launch.out, `${source.kernel.name} result`);

  const signed = new Int32Array(params.buffer);
  const floats = new Float32Array(params.buffer);
  let nextArray = 8;
  let nextScalar = 8 + 4 * numArrays;
  for (const { name, kind, label } of parameters) {
    const value = launch.inputs[name];
    if (kind === 'integer') signed[nextScalar++] = exactInteger(label, value);
    else if (kind === 'float') floats[nextScalar++] = expectNumber(label, value);
    else {
      packView(params, nextArray, expectView(label, value), label);
      nextArray += 4;
    }
  }
  return params;
}

/** The innermost size first. */
function packView(params: Uint32Array, at: number, { dims, start }: ArrayView, what: string): void {
  let count = 1;
  for (let i = 0; i < 3; i++) {
    const size = exactSize(what, dims[dims.length - 1 - i] ?? 1);
    params[at + i] = size;
    count *= size;
  }
  const end = start + count;
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
