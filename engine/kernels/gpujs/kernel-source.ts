/** What a kernel is before it is compiled: a plain function for one thread, and what its parameters and its result are
 * in memory. Knows neither gpu.js nor a device: the same function also runs in plain JavaScript, which is how it is
 * tested.
 *
 * A kernel runs once per thread, on a grid of up to three dimensions. It reads its place from `this.thread`, reads any
 * element of its inputs, and returns what it computed: threads cannot talk to each other and cannot see each other's
 * results. docs/gpujs.md tells what else gpu.js cannot do. */

/** What `this` is inside a kernel. */
export interface KernelThread {
  readonly thread: { readonly x: number; readonly y: number; readonly z: number };
}

/** How kernels see tensors: the innermost dimension last. */
export type Vector = ArrayLike<number>;
export type Matrix = ArrayLike<Vector>;
export type Volume = ArrayLike<Matrix>;

/** What the elements of a parameter are in memory. All of them are plain numbers to the kernel.
 *
 *   f32, i32     a 32-bit word
 *   logit        an f32 of which NaN is read as -Infinity: WGSL promises no comparison that tells a NaN
 *   u8, i8       one byte of a word, without or with sign: the levels of quantized weights
 *   f16, bf16    one half of a word: the scales of quantized weights, or whole weights
 *   u16          one half of a word as a whole number, to be copied as it is
 *   q8_0         a level times the scale of its quant block: 32 elements in 17 halves */
export type ElementKind = 'f32' | 'i32' | 'logit' | 'u8' | 'i8' | 'f16' | 'bf16' | 'u16' | 'q8_0';

/** A parameter that is one number, the same for all threads. Whole numbers may bound a loop. */
export type ScalarKind = 'integer' | 'float';

/** What a kernel returns, and where that goes.
 *
 *   element   value                            result[z][y][x] of the thread
 *   pair      [first, second]                  result[z][y][x][0] and [1]
 *   scatter   [value, x, y, z]                 result[z][y][x]; nothing where x is below 0
 *   columns   [first, second, x1, x2]          result[z][y][x1] and result[z][y][x2], z and y of the thread */
export type ResultKind = 'element' | 'pair' | 'scatter' | 'columns';

/** What the elements of the result are in memory. Two f16 or u16 share a word, which threads then write with atomics. */
export type ResultElement = 'f32' | 'f16' | 'u16';

/** Sees its arguments only. The same rules hold for its text as for a kernel's. */
export type KernelHelper = (...args: number[]) => number;

export interface KernelSource {
  /** A named function; the name is the kernel's. See `check-source.ts` for what it must not do. */
  readonly kernel: (this: KernelThread, ...args: never[]) => number | readonly number[];
  /** By name, in the order of the function's parameters. */
  readonly parameters: Readonly<Record<string, ElementKind | ScalarKind>>;
  readonly result: ResultKind;
  /** Functions of numbers that the kernel calls. */
  readonly helpers?: readonly KernelHelper[];
  /** Absent: f32. Another one needs a `scatter`. */
  readonly resultElement?: ResultElement;
}

export const BYTES_PER_ELEMENT: Readonly<Record<ElementKind, number>> = {
  f32: 4,
  i32: 4,
  logit: 4,
  u8: 1,
  i8: 1,
  f16: 2,
  bf16: 2,
  u16: 2,
  q8_0: 34 / 32,
};

export interface Parameter {
  readonly name: string;
  readonly kind: ElementKind | ScalarKind;
  /** Names it in complaints. */
  readonly label: string;
}

/** A kernel's parameters as a list. */
export function parametersOf({ kernel, parameters }: KernelSource): readonly Parameter[] {
  return Object.entries(parameters).map(([name, kind]) => ({ name, kind, label: `${kernel.name} ${name}` }));
}

export function isScalar(kind: ElementKind | ScalarKind): kind is ScalarKind {
  return kind === 'integer' || kind === 'float';
}
