/** Where threads meet, and how often in a layer: each rule of meetings.ts. */
import { describe, expect, it } from 'vitest';
import type { OpArgs, OpName } from '../../../../engine/kernels/ops.ts';
import { THREAD_ROWS_BYTES } from '../../../../engine/kernels/wasm/linear-memory.ts';
import { Meetings } from '../../../../engine/kernels/wasm/meetings.ts';
import { MIRRORED, WasmBuffer } from '../../../../engine/kernels/wasm/wasm-buffer.ts';
import type { DType } from '../../../../engine/tensor/dtype.ts';
import { Tensor } from '../../../../engine/tensor/tensor.ts';

let nextAddress = 1024;

function tensor(dtype: DType, ...shape: number[]): Tensor {
  const byteLength = 4 * shape.reduce((product, size) => product * size, 1);
  const buffer = new WasmBuffer({ memory: MIRRORED, address: nextAddress, byteLength });
  nextAddress += byteLength;
  return new Tensor(dtype, shape, buffer);
}

type Call = { [Name in OpName]: readonly [Name, OpArgs[Name]] }[OpName];

/** Whether threads meet before each op. */
function meetingsOf(calls: readonly Call[], hasOneMemory = true): boolean[] {
  const meetings = new Meetings(hasOneMemory);
  return calls.map(([op, args]) => {
    const isDue = meetings.areDue(op, args);
    if (isDue) meetings.clear();
    meetings.note(op, args);
    return isDue;
  });
}

const f32 = (...shape: number[]): Tensor => tensor('f32', ...shape);

describe('threads meet', () => {
  const [a, b, c, d] = [f32(2, 8), f32(2, 8), f32(2, 8), f32(2, 8)] as const;

  it('before an op that reads what another wrote, or overwrites what another reads or wrote', () => {
    const first: Call = ['add', { a, b, out: c }];
    expect(meetingsOf([first, ['add', { a: c, b, out: d }]])).toEqual([false, true]);
    expect(meetingsOf([first, ['add', { a: d, b: d, out: a }]])).toEqual([false, true]);
    expect(meetingsOf([first, ['add', { a: d, b: d, out: c }]])).toEqual([false, true]);
    expect(meetingsOf([first, ['add', { a: d, b: d, out: c.slice(1, 2).reshape([2, 4]) } as never]])).toEqual([
      false,
      true,
    ]);
  });

  it('not between ops that have nothing but inputs in common, nor twice for the same reason', () => {
    expect(
      meetingsOf([
        ['add', { a, b, out: c }],
        ['add', { a, b, out: d }],
      ]),
    ).toEqual([false, false]);
    const row = (t: Tensor, i: number): Tensor => t.slice(i, i + 1);
    const halves: Call[] = [0, 1].map((i) => ['add', { a: row(a, i), b: row(b, i), out: row(c, i) }] as const);
    expect(meetingsOf(halves)).toEqual([false, false]);
    const readers: Call[] = [
      ['add', { a: c, b, out: d }],
      ['add', { a: c, b, out: f32(2, 8) }],
    ];
    expect(meetingsOf([['add', { a, b, out: c }], ...readers])).toEqual([false, true, false]);
  });
});

/** A layer of a token: 6 heads of 8, 3 of them for keys and values. */
function layer(numTokens: number): Call[] {
  const [hidden, normed, attended, gated] = [48, 48, 48, 96].map((width) => f32(numTokens, width)) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const [query, key, value] = [48, 24, 24].map((width) => f32(numTokens, width)) as [Tensor, Tensor, Tensor];
  const heads = (x: Tensor): Tensor => x.reshape([numTokens, x.shape[1]! / 8, 8]);
  const [keyCache, valueCache] = [f32(4, 3, 16, 8), f32(4, 3, 16, 8)] as const;
  const [positions, table] = [tensor('i32', numTokens), f32(64, 8)];
  const pages = { blockTables: tensor('i32', 1, 4), queryStartLoc: tensor('i32', 2), seqLens: tensor('i32', 1) };
  const norm: Call = ['rmsNorm', { x: hidden, weight: f32(48), eps: 0, out: normed }];
  const [gateWeight, upWeight] = [f32(96, 48), f32(96, 48)];
  return [
    norm,
    ['matmul', { x: normed, weight: f32(48, 48), out: query }],
    ['matmul', { x: normed, weight: f32(24, 48), out: key }],
    ['matmul', { x: normed, weight: f32(24, 48), out: value }],
    ['rope', { x: heads(query), positions, table, style: 'neox' }],
    ['rope', { x: heads(key), positions, table, style: 'neox' }],
    ['writeKv', { k: heads(key), v: heads(value), keyCache, valueCache, slotMapping: tensor('i32', numTokens) }],
    ['pagedAttention', { q: heads(query), keyCache, valueCache, ...pages, scale: 1, out: heads(attended) }],
    ['matmul', { x: attended, weight: f32(48, 48), residual: hidden, out: hidden }],
    norm,
    ['gatedMatmul', { x: normed, gateWeight, upWeight, activation: 'silu', out: gated }],
    ['matmul', { x: gated, weight: f32(48, 96), residual: hidden, out: hidden }],
    norm,
  ];
}

it('threads meet where one reads a part of what all have computed for themselves, but not its first rows', () => {
  const [x, normed, weight] = [f32(4, 8), f32(4, 8), f32(4, 8)];
  const norm: Call = ['rmsNorm', { x, weight: f32(8), eps: 0, out: normed }];
  const product = (rows: Tensor): Call => ['matmul', { x: rows, weight, out: f32(rows.shape[0]!, 4) }];
  expect(meetingsOf([norm, product(normed), product(normed.slice(0, 2))])).toEqual([false, false, false]);
  expect(meetingsOf([norm, product(normed.slice(1, 3))])).toEqual([false, true]);
});

describe('in a layer threads meet', () => {
  it('six times for a token: a norm is computed by each thread, and keys are stored by who turned them', () => {
    const met = meetingsOf(layer(1)).flatMap((isDue, i) => (isDue ? layer(1)[i]![0] : []));
    expect(met).toEqual(['rope', 'pagedAttention', 'matmul', 'rmsNorm', 'matmul', 'rmsNorm']);
  });

  it('also after norms of many tokens', () => {
    const numTokens = THREAD_ROWS_BYTES / 48 / 4 + 1;
    const calls = layer(Math.ceil(numTokens));
    const met = meetingsOf(calls).flatMap((isDue, i) => (isDue ? calls[i]![0] : []));
    expect(met.filter((op) => op === 'matmul' || op === 'gatedMatmul')).toHaveLength(4);
  });

  it('wherever one op needs another where there are several memories', () => {
    expect(meetingsOf(layer(1), false).filter((isDue) => isDue)).toHaveLength(9);
  });
});
