/** The suite can fail: for every op, a backend that does this one op a little wrong is caught. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { OpArgs, OpName } from '../../engine/kernels/ops.ts';
import { floatsOf } from '../../engine/kernels/reference/host-memory.ts';
import { ReferenceBackend } from '../../engine/kernels/reference/reference-backend.ts';
import { REFERENCE_OPS } from '../../engine/kernels/reference/reference-ops.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';
import { CASES } from './cases.ts';
import { findBitDifference, findMismatch } from './compare.ts';
import { conformance } from './describe-backend.ts';
import { attentionInvariance, matmulBatchInvariance } from './invariance.ts';

/** Enough runs to find every fault below, whatever QUERN_RUNS says, and no shrinking. */
const SEARCH = { numRuns: 100, endOnFailure: true };

/** A reference backend with one op replaced by `wrong`, which gets the right op to call. */
function broken<Name extends OpName>(
  op: Name,
  wrong: (args: OpArgs[Name], right: (args: OpArgs[Name]) => void) => void,
): ReferenceBackend {
  const backend = new ReferenceBackend();
  const right = backend[op].bind(backend) as (args: OpArgs[Name]) => void;
  Object.defineProperty(backend, op, { value: (args: OpArgs[Name]) => wrong(args, right) });
  return backend;
}

/** Runs the right op, then makes the last of the values it wrote wrong by a hundredth. */
function lastValueOff<Name extends OpName>(op: Name, written: (args: OpArgs[Name]) => Tensor): ReferenceBackend {
  return broken(op, (args, right) => {
    right(args);
    const values = floatsOf(written(args));
    if (values.length > 0) values[values.length - 1] = values.at(-1)! * 1.01 + 0.01;
  });
}

const BROKEN: Readonly<Record<string, { readonly op: OpName; readonly backend: ReferenceBackend }>> = {
  'embed, last value off': { op: 'embed', backend: lastValueOff('embed', ({ out }) => out) },
  'rmsNorm, last value off': { op: 'rmsNorm', backend: lastValueOff('rmsNorm', ({ out }) => out) },
  'rmsNorm, eps ignored': {
    op: 'rmsNorm',
    backend: broken('rmsNorm', (args, right) => right({ ...args, eps: 0 })),
  },
  'layerNorm, bias ignored': {
    op: 'layerNorm',
    backend: broken('layerNorm', (args, right) => right({ ...args, bias: undefined })),
  },
  'layerNorm, last value off': { op: 'layerNorm', backend: lastValueOff('layerNorm', ({ out }) => out) },
  'matmul, bias ignored': {
    op: 'matmul',
    backend: broken('matmul', (args, right) => right({ ...args, bias: undefined })),
  },
  'matmul, last value off': { op: 'matmul', backend: lastValueOff('matmul', ({ out }) => out) },
  'rope, last value off': { op: 'rope', backend: lastValueOff('rope', ({ x }) => x) },
  'rope, one style for both': {
    op: 'rope',
    backend: broken('rope', (args, right) => right({ ...args, style: 'neox' })),
  },
  'writeKv, keys and values swapped': {
    op: 'writeKv',
    backend: broken('writeKv', (args, right) => right({ ...args, k: args.v, v: args.k })),
  },
  'writeKv, last token forgotten': {
    op: 'writeKv',
    backend: broken('writeKv', ({ k, v, slotMapping, ...caches }, right) => {
      const end = k.shape[0]! - 1;
      right({ ...caches, k: k.slice(0, end), v: v.slice(0, end), slotMapping: slotMapping.slice(0, end) });
    }),
  },
  'pagedAttention, last value off': {
    op: 'pagedAttention',
    backend: lastValueOff('pagedAttention', ({ out }) => out),
  },
  'pagedAttention, window off by one': {
    op: 'pagedAttention',
    backend: broken('pagedAttention', (args, right) => {
      const { slidingWindow } = args;
      right({ ...args, slidingWindow: slidingWindow === undefined ? undefined : Math.max(1, slidingWindow - 1) });
    }),
  },
  'pagedAttention, no soft cap': {
    op: 'pagedAttention',
    backend: broken('pagedAttention', (args, right) => right({ ...args, softCap: undefined })),
  },
  'siluMul is geluMul': { op: 'siluMul', backend: broken('siluMul', (args) => REFERENCE_OPS.geluMul(args)) },
  'geluMul, last value off': { op: 'geluMul', backend: lastValueOff('geluMul', ({ out }) => out) },
  'add, last value off': { op: 'add', backend: lastValueOff('add', ({ out }) => out) },
  'softmaxSums, one temperature for all': {
    op: 'softmaxSums',
    backend: broken('softmaxSums', (args, right) =>
      right({ ...args, temperatures: args.temperatures.map(() => args.temperatures[0]!) }),
    ),
  },
  'topLogits, last value off': { op: 'topLogits', backend: lastValueOff('topLogits', ({ out }) => out) },
  'topLogits, the higher id first among equals': {
    op: 'topLogits',
    backend: broken('topLogits', (args, right) => {
      right(args);
      const top = floatsOf(args.out);
      const isTie = top[1] === top[3] && args.out.shape[1]! > 1;
      if (isTie) [top[0], top[2]] = [top[2]!, top[0]!];
    }),
  },
  'gatherRows, last value off': { op: 'gatherRows', backend: lastValueOff('gatherRows', ({ out }) => out) },
};

describe('the conformance suite catches', () => {
  const reference = new ReferenceBackend();
  afterAll(() => reference.close());

  for (const [what, { op, backend }] of Object.entries(BROKEN)) {
    it(what, async () => {
      const result = await fc.check(conformance(CASES[op], { backend, reference, exact: false }), {
        endOnFailure: true,
      });
      expect(result.failed).toBe(true);
      expect(String(result.errorInstance)).toMatch(new RegExp(`reference ${op} .* expected`));
      await backend.close();
    });
  }

  it('a matmul whose rounding depends on the batch', async () => {
    const backend = broken('matmul', (args, right) => {
      right(args);
      const values = floatsOf(args.out);
      if (args.x.shape[0]! > 4) values[0] = values[0]! * (1 + 2 ** -22);
    });
    expect((await fc.check(matmulBatchInvariance(backend), SEARCH)).failed).toBe(true);
  });

  it('an attention whose rounding depends on the batch', async () => {
    const backend = broken('pagedAttention', (args, right) => {
      right(args);
      const values = floatsOf(args.out);
      if (args.seqLens.shape[0]! > 1) values[0] = values[0]! * (1 + 2 ** -22);
    });
    expect((await fc.check(attentionInvariance(backend), SEARCH)).failed).toBe(true);
  });

  it('an op that the backend does not support and did not declare', async () => {
    const backend = new ReferenceBackend();
    Object.defineProperty(backend, 'supports', { value: () => 'not written yet' });
    const result = await fc.check(conformance(CASES.add, { backend, reference, exact: false }), SEARCH);
    expect(String(result.errorInstance)).toMatch(/not written yet/);
  });
});

describe('findMismatch', () => {
  const of = (...values: number[]) => Float32Array.from(values);

  it('measures differences by the root mean square of what is expected', () => {
    expect(findMismatch(of(100, 0), of(100, 0.5), 0.01)).toBeUndefined();
    expect(findMismatch(of(100, 0), of(100, 0.8), 0.01)).toMatch(/^\[1\] is 0, expected 0\.8/);
  });

  it('asks for equal values when the tolerance is 0, and takes 0 for -0', () => {
    expect(findMismatch(of(1, -0), of(1, 0), 0)).toBeUndefined();
    expect(findMismatch(of(1 + 2 ** -23), of(1), 0)).toMatch(/expected 1 within 0/);
  });

  it('never forgives NaN, infinity or a missing value', () => {
    expect(findMismatch(of(Number.NaN, 1), of(0, 1), 1e9)).toMatch(/\[0\] is NaN/);
    expect(findMismatch(of(0, 1), of(Number.NaN, 1), 1e9)).toMatch(/expected NaN/);
    expect(findMismatch(of(Infinity), of(-Infinity), 1e9)).toMatch(/Infinity/);
    expect(findMismatch(of(Number.NaN, Infinity), of(Number.NaN, Infinity), 0)).toBeUndefined();
    expect(findMismatch(of(1), of(1, 2), 1e9)).toMatch(/2 values expected, got 1/);
  });
});

describe('findBitDifference', () => {
  it('tells 0 from -0 and nothing else from itself', () => {
    expect(findBitDifference(Float32Array.of(1, Number.NaN), Float32Array.of(1, Number.NaN))).toBeUndefined();
    expect(findBitDifference(Float32Array.of(-0), Float32Array.of(0))).toMatch(/expected exactly 0/);
  });
});
