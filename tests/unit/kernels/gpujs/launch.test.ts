/** The params of a launch, and what a launch may not ask for. */
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError, UnsupportedError } from '../../../../engine/errors.ts';
import {
  type KernelSource,
  type KernelThread,
  type Matrix,
  parametersOf,
} from '../../../../engine/kernels/gpujs/kernel-source.ts';
import {
  type ArrayView,
  inPlaceOf,
  type Launch,
  packParams,
  workgroupsOf,
} from '../../../../engine/kernels/gpujs/launch.ts';

function kernel(this: KernelThread, a: Matrix, count: number, b: Matrix, factor: number): number {
  return a[0]![0]! * count + b[0]![0]! * factor;
}

const SOURCE: KernelSource = {
  kernel,
  parameters: { a: 'f32', count: 'integer', b: 'u8', factor: 'float' },
  result: 'element',
};

const view = (dims: readonly number[], start = 0, buffer = {}): ArrayView => ({ buffer, dims, start });

const LAUNCH: Launch = {
  inputs: { a: view([3, 5], 7), count: -2, b: view([6]), factor: 0.5 },
  out: view([2, 3, 4], 1),
  threads: [130, 3],
};

it('lays params out as WGSL does: grid, result, arrays, then scalars', () => {
  const params = packParams(SOURCE, LAUNCH);
  expect(params.byteLength % 16).toBe(0);
  expect([...params.subarray(0, 16)]).toEqual([130, 3, 1, 0, 4, 3, 2, 1, 5, 3, 1, 7, 6, 1, 1, 0]);
  expect(new Int32Array(params.buffer)[16]).toBe(-2);
  expect(new Float32Array(params.buffer)[17]).toBe(0.5);
});

it('covers all threads with whole workgroups', () => {
  expect(workgroupsOf(LAUNCH)).toEqual([3, 3, 1]);
  expect(workgroupsOf({ ...LAUNCH, threads: [64] })).toEqual([1, 1, 1]);
});

it('knows which inputs lie where the result goes', () => {
  const buffer = {};
  const inputs = { ...LAUNCH.inputs, b: view([6], 0, buffer) };
  expect(inPlaceOf(parametersOf(SOURCE), { ...LAUNCH, inputs, out: view([6], 6, buffer) })).toEqual(['b']);
  expect(inPlaceOf(parametersOf(SOURCE), LAUNCH)).toEqual([]);
});

describe('a launch is refused', () => {
  const withInputs = (inputs: Launch['inputs']): Launch => ({ ...LAUNCH, inputs: { ...LAUNCH.inputs, ...inputs } });

  it.each([
    ['a size beyond 2^24', withInputs({ a: view([2, 2 ** 24 + 1]) })],
    ['more than 2^24 threads', { ...LAUNCH, threads: [2 ** 24 + 1] }],
    ['a loop bound beyond 2^24', withInputs({ count: 2 ** 24 + 1 })],
    ['a whole number below -2^24', withInputs({ count: -(2 ** 24) - 1 })],
    ['an integer that is none', withInputs({ count: 1.5 })],
    ['elements beyond 2^32', withInputs({ a: view([2 ** 20, 2 ** 12], 1) })],
  ])('for %s', (_, launch) => {
    expect(() => packParams(SOURCE, launch)).toThrow(UnsupportedError);
  });

  it.each([
    ['a number that is not finite', withInputs({ factor: Number.NaN })],
    ['a size below 0', { ...LAUNCH, threads: [-1] }],
    ['a number where an array belongs', withInputs({ a: 1 })],
    ['an array where a number belongs', withInputs({ count: view([1]) })],
  ])('for %s', (_, launch) => {
    expect(() => packParams(SOURCE, launch)).toThrow(InvalidArgumentError);
  });

  it('but not at the limits', () => {
    expect(() => packParams(SOURCE, withInputs({ a: view([2 ** 8, 2 ** 24]), count: 2 ** 24 }))).not.toThrow();
  });
});
