/** Every rule of `check-args.ts`, broken once. The tensors here have shapes and dtypes but no memory behind them. */
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError, ShapeError, UnsupportedError } from '../../../engine/errors.ts';
import { checkArgs } from '../../../engine/kernels/check-args.ts';
import type { OpArgs, OpName } from '../../../engine/kernels/ops.ts';
import type { DType } from '../../../engine/tensor/dtype.ts';
import { type BufferHandle, Tensor } from '../../../engine/tensor/tensor.ts';

function tensor(dtype: DType, ...shape: number[]): Tensor {
  return new Tensor(dtype, shape, { owner: 'nobody', byteLength: 1e9 });
}

const shared: BufferHandle = { owner: 'nobody', byteLength: 1e9 };

/** A view of one common buffer. */
function view(byteOffset: number, ...shape: number[]): Tensor {
  return new Tensor('f32', shape, shared, byteOffset);
}

/** Right arguments for every op. */
const RIGHT: { readonly [Name in OpName]: OpArgs[Name] } = {
  embed: { tokenIds: tensor('i32', 3), weight: tensor('q4_0', 10, 64), out: tensor('f32', 3, 64) },
  rmsNorm: { x: tensor('f32', 3, 8), weight: tensor('f16', 8), eps: 1e-5, out: tensor('f32', 3, 8) },
  layerNorm: {
    x: tensor('f32', 3, 8),
    weight: tensor('f32', 8),
    bias: tensor('f32', 8),
    eps: 0,
    out: tensor('f32', 3, 8),
  },
  matmul: {
    x: tensor('f32', 3, 32),
    weight: tensor('q8_0', 5, 32),
    bias: tensor('f32', 5),
    out: tensor('f32', 3, 5),
  },
  gatedMatmul: {
    x: tensor('f32', 3, 32),
    gateWeight: tensor('q8_0', 5, 32),
    gateBias: tensor('f32', 5),
    upWeight: tensor('f16', 5, 32),
    upBias: undefined,
    activation: 'gelu',
    out: tensor('f32', 3, 5),
  },
  rope: { x: tensor('f32', 3, 2, 8), positions: tensor('i32', 3), table: tensor('f32', 16, 6), style: 'neox' },
  writeKv: {
    k: tensor('f32', 3, 2, 32),
    v: tensor('f32', 3, 2, 32),
    keyCache: tensor('q8_0', 7, 2, 4, 32),
    valueCache: tensor('f16', 7, 2, 4, 32),
    slotMapping: tensor('i32', 3),
  },
  pagedAttention: {
    q: tensor('f32', 3, 4, 32),
    keyCache: tensor('q8_0', 7, 2, 4, 32),
    valueCache: tensor('q8_0', 7, 2, 4, 32),
    blockTables: tensor('i32', 2, 5),
    queryStartLoc: tensor('i32', 3),
    seqLens: tensor('i32', 2),
    scale: 0.1,
    out: tensor('f32', 3, 4, 32),
  },
  siluMul: { gate: tensor('f32', 3, 8), up: tensor('f32', 3, 8), out: tensor('f32', 3, 8) },
  geluMul: { gate: tensor('f32', 3, 8), up: tensor('f32', 3, 8), out: tensor('f32', 3, 8) },
  add: { a: tensor('f32', 3, 8), b: tensor('f32', 3, 8), out: tensor('f32', 3, 8) },
  gatherRows: { x: tensor('f32', 3, 8), rows: tensor('i32', 2), out: tensor('f32', 2, 8) },
  copyBlocks: {
    keyCache: tensor('f16', 9, 2, 4, 8),
    valueCache: tensor('f16', 9, 2, 4, 8),
    copies: tensor('i32', 3, 2),
  },
  tokenLogprobs: { logits: tensor('f32', 3, 8), tokenIds: tensor('i32', 3), out: tensor('f32', 3) },
  topLogits: { logits: tensor('f32', 3, 8), out: tensor('f32', 3, 5, 2) },
  softmaxSums: {
    logits: tensor('f32', 3, 8),
    rows: tensor('i32', 2),
    temperatures: [1, 0.5],
    segmentSize: 3,
    out: tensor('f32', 2, 3, 3),
  },
};

function check<Name extends OpName>(op: Name, change: Partial<OpArgs[Name]>): () => void {
  return () => checkArgs(op, { ...RIGHT[op], ...change });
}

describe('checkArgs accepts', () => {
  it.each(Object.keys(RIGHT) as OpName[])('%s as ops.ts describes it', (op) => {
    expect(check(op, {})).not.toThrow();
  });

  it('norms and matmul without weight or bias', () => {
    expect(check('rmsNorm', { weight: undefined })).not.toThrow();
    expect(check('layerNorm', { weight: undefined, bias: undefined })).not.toThrow();
    expect(check('matmul', { bias: undefined })).not.toThrow();
  });

  it('empty batches', () => {
    expect(check('matmul', { x: tensor('f32', 0, 32), out: tensor('f32', 0, 5) })).not.toThrow();
    const none = { blockTables: tensor('i32', 0, 5), queryStartLoc: tensor('i32', 1), seqLens: tensor('i32', 0) };
    expect(
      check('pagedAttention', { q: tensor('f32', 0, 4, 32), out: tensor('f32', 0, 4, 32), ...none }),
    ).not.toThrow();
  });

  it('out in place of an input where the op may', () => {
    const x = view(0, 3, 8);
    expect(check('rmsNorm', { x, out: x })).not.toThrow();
    expect(check('layerNorm', { x, out: view(0, 3, 8) })).not.toThrow();
    expect(check('siluMul', { up: x, out: x })).not.toThrow();
    expect(check('add', { a: x, b: x, out: x })).not.toThrow();
    // Neighbours in one buffer do not overlap.
    expect(check('add', { a: view(0, 3, 8), out: view(96, 3, 8) })).not.toThrow();
  });
});

describe('checkArgs refuses a shape', () => {
  const wrong: [OpName, string, () => void, string][] = [
    ['embed', 'rank', check('embed', { tokenIds: tensor('i32', 3, 1) }), 'embed: expected tokenIds [T], got [3, 1]'],
    ['embed', 'H', check('embed', { out: tensor('f32', 3, 32) }), 'embed: expected out [T=3, H=64], got [3, 32]'],
    ['rmsNorm', 'weight', check('rmsNorm', { weight: tensor('f32', 9) }), 'rmsNorm: expected weight [H=8], got [9]'],
    ['rmsNorm', 'out', check('rmsNorm', { out: tensor('f32', 2, 8) }), 'rmsNorm: expected out [T=3, H=8]'],
    ['layerNorm', 'bias', check('layerNorm', { bias: tensor('f32', 1, 8) }), 'layerNorm: expected bias [H=8]'],
    [
      'matmul',
      'K',
      check('matmul', { weight: tensor('q8_0', 5, 64) }),
      'matmul: expected weight [N, K=32], got [5, 64]',
    ],
    ['matmul', 'N', check('matmul', { out: tensor('f32', 3, 6) }), 'matmul: expected out [T=3, N=5], got [3, 6]'],
    ['matmul', 'bias', check('matmul', { bias: tensor('f32', 4) }), 'matmul: expected bias [N=5], got [4]'],
    ['rope', 'odd R', check('rope', { table: tensor('f32', 16, 5) }), 'R even and at most D=8, got R=5'],
    ['rope', 'R > D', check('rope', { table: tensor('f32', 16, 10) }), 'R even and at most D=8, got R=10'],
    ['rope', 'T', check('rope', { positions: tensor('i32', 4) }), 'rope: expected positions [T=3], got [4]'],
    ['writeKv', 'v', check('writeKv', { v: tensor('f32', 3, 1, 32) }), 'writeKv: expected v [T=3, NKV=2, D=32]'],
    ['writeKv', 'D', check('writeKv', { keyCache: tensor('f32', 7, 2, 4, 64) }), 'keyCache [B, NKV=2, BS, D=32]'],
    ['writeKv', 'slots', check('writeKv', { slotMapping: tensor('i32', 2) }), 'writeKv: expected slotMapping [T=3]'],
    ['writeKv', 'caches', check('writeKv', { valueCache: tensor('f16', 6, 2, 4, 32) }), 'valueCache [B=7, NKV=2, BS=4'],
    ['pagedAttention', 'out', check('pagedAttention', { out: tensor('f32', 3, 4, 31) }), 'out [T=3, NH=4, D=32]'],
    [
      'pagedAttention',
      'NH',
      check('pagedAttention', { q: tensor('f32', 3, 3, 32), out: tensor('f32', 3, 3, 32) }),
      'NH a multiple of NKV, got NH=3, NKV=2',
    ],
    ['pagedAttention', 'S', check('pagedAttention', { seqLens: tensor('i32', 3) }), 'seqLens [S=2], got [3]'],
    [
      'pagedAttention',
      'S + 1',
      check('pagedAttention', { queryStartLoc: tensor('i32', 2) }),
      'queryStartLoc [S + 1 = 3], got [2]',
    ],
    [
      'pagedAttention',
      'BS',
      check('pagedAttention', { keyCache: tensor('f32', 7, 2, 0, 32), valueCache: tensor('f32', 7, 2, 0, 32) }),
      'at least 1 token per block',
    ],
    ['siluMul', 'up', check('siluMul', { up: tensor('f32', 3, 9) }), 'siluMul: expected up [T=3, N=8], got [3, 9]'],
    ['geluMul', 'out', check('geluMul', { out: tensor('f32', 4, 8) }), 'geluMul: expected out [T=3, N=8], got [4, 8]'],
    ['add', 'b', check('add', { b: tensor('f32', 3, 8, 1) }), 'add: expected b [3, 8], got [3, 8, 1]'],
    ['add', 'out', check('add', { out: tensor('f32', 8, 3) }), 'add: expected out [3, 8], got [8, 3]'],
    ['gatherRows', 'out', check('gatherRows', { out: tensor('f32', 3, 8) }), 'gatherRows: expected out [R=2, H=8]'],
    ['copyBlocks', 'copies', check('copyBlocks', { copies: tensor('i32', 3, 3) }), 'copies [C, 2]'],
    ['tokenLogprobs', 'out', check('tokenLogprobs', { out: tensor('f32', 4) }), 'expected out [R=3]'],
    [
      'topLogits',
      'pairs',
      check('topLogits', { out: tensor('f32', 3, 5, 3) }),
      'expected out [R, K, 2], got [R, K, 3]',
    ],
    [
      'softmaxSums',
      'out',
      check('softmaxSums', { out: tensor('f32', 2, 2, 3) }),
      'expected out [Q, 3, 3], got [2, 2, 3]',
    ],
    ['softmaxSums', 'temperatures', check('softmaxSums', { temperatures: [1] }), 'expected 2 temperatures, got 1'],
    ['topLogits', 'K', check('topLogits', { out: tensor('f32', 3, 9, 2) }), 'expected K up to V=8, got K=9'],
  ];
  it.each(wrong)('%s: %s', (_op, _what, call, message) => {
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(message);
  });
});

describe('checkArgs refuses a dtype', () => {
  const wrong: [OpName, string, () => void, string][] = [
    ['embed', 'ids', check('embed', { tokenIds: tensor('f32', 3) }), 'embed with tokenIds of f32'],
    ['embed', 'weight', check('embed', { weight: tensor('i32', 10, 64) }), 'embed with weight of i32'],
    ['rmsNorm', 'x', check('rmsNorm', { x: tensor('f16', 3, 8) }), 'rmsNorm with x of f16'],
    ['rmsNorm', 'weight', check('rmsNorm', { weight: tensor('i32', 8) }), 'rmsNorm with weight of i32'],
    ['layerNorm', 'out', check('layerNorm', { out: tensor('bf16', 3, 8) }), 'layerNorm with out of bf16'],
    ['matmul', 'x', check('matmul', { x: tensor('q8_0', 3, 32) }), 'matmul with x of q8_0'],
    ['matmul', 'bias', check('matmul', { bias: tensor('i32', 5) }), 'matmul with bias of i32'],
    ['rope', 'table', check('rope', { table: tensor('f16', 16, 6) }), 'rope with table of f16'],
    ['rope', 'positions', check('rope', { positions: tensor('f32', 3) }), 'rope with positions of f32'],
    ['writeKv', 'cache', check('writeKv', { keyCache: tensor('q4_0', 7, 2, 4, 32) }), 'writeKv with keyCache of q4_0'],
    ['writeKv', 'slots', check('writeKv', { slotMapping: tensor('f32', 3) }), 'writeKv with slotMapping of f32'],
    [
      'pagedAttention',
      'cache',
      check('pagedAttention', { valueCache: tensor('bf16', 7, 2, 4, 32) }),
      'valueCache of bf16',
    ],
    ['pagedAttention', 'tables', check('pagedAttention', { blockTables: tensor('f32', 2, 5) }), 'blockTables of f32'],
    ['siluMul', 'gate', check('siluMul', { gate: tensor('f16', 3, 8) }), 'siluMul with gate of f16'],
    ['add', 'a', check('add', { a: tensor('i32', 3, 8) }), 'add with a of i32'],
    ['gatherRows', 'rows', check('gatherRows', { rows: tensor('f32', 2) }), 'gatherRows with rows of f32'],
    ['copyBlocks', 'copies', check('copyBlocks', { copies: tensor('f32', 3, 2) }), 'copies of f32'],
    ['tokenLogprobs', 'ids', check('tokenLogprobs', { tokenIds: tensor('f32', 3) }), 'tokenIds of f32'],
  ];
  it.each(wrong)('%s: %s', (_op, _what, call, message) => {
    expect(call).toThrow(UnsupportedError);
    expect(call).toThrow(message);
  });
});

describe('checkArgs refuses', () => {
  const wrong: [string, () => void, string][] = [
    [
      'no temperature',
      check('softmaxSums', { temperatures: [1, 0] }),
      'softmaxSums temperature: must be a number above 0',
    ],
    ['segments of nothing', check('softmaxSums', { segmentSize: 0 }), 'softmaxSums segmentSize'],
    ['a negative eps', check('rmsNorm', { eps: -1e-5 }), 'rmsNorm eps: must be a number from 0, got -0.00001'],
    ['an eps of NaN', check('layerNorm', { eps: Number.NaN }), 'layerNorm eps'],
    ['an infinite scale', check('pagedAttention', { scale: Infinity }), 'pagedAttention scale'],
    ['a window of 0', check('pagedAttention', { slidingWindow: 0 }), 'slidingWindow: must be absent or a whole number'],
    ['half a window', check('pagedAttention', { slidingWindow: 2.5 }), 'slidingWindow'],
    ['a soft cap of 0', check('pagedAttention', { softCap: 0 }), 'softCap: must be absent or a number above 0, got 0'],
    [
      'an unknown rope style',
      check('rope', { style: 'norm' as 'neox' }),
      "must be 'interleaved' or 'neox', got 'norm'",
    ],
    ['no tensor', check('add', { b: undefined as unknown as Tensor }), 'add b: must be a tensor, got undefined'],
    ['an unknown op', () => checkArgs('softmax' as 'add', RIGHT.add), 'must be one of embed, rmsNorm'],
    ['an op named like a method of every object', () => checkArgs('toString' as 'add', RIGHT.add), 'must be one of'],
    ['matmul in place', check('matmul', { x: view(0, 3, 32), out: view(0, 3, 5) }), 'matmul out: overlaps x'],
    [
      'gatherRows in place',
      check('gatherRows', { x: view(0, 3, 8), out: view(32, 2, 8) }),
      'gatherRows out: overlaps x',
    ],
    ['attention in place', check('pagedAttention', { q: view(0, 3, 4, 32), out: view(0, 3, 4, 32) }), 'overlaps q'],
    ['out that overlaps by half', check('add', { a: view(0, 3, 8), out: view(32, 3, 8) }), 'add out: overlaps a'],
    ['a norm over its own weight', check('rmsNorm', { weight: view(0, 8), out: view(0, 3, 8) }), 'overlaps weight'],
  ];
  it.each(wrong)('%s', (_, call, message) => {
    expect(call).toThrow(InvalidArgumentError);
    expect(call).toThrow(message);
  });
});
