/** Every shape and dtype rule of `ops.ts`, as code. All backends call `checkArgs` before they run an op, so that they
 * refuse the same calls with the same words. The values of integer inputs are `check-indices.ts`'s business. */
import { InvalidArgumentError, ShapeError } from '../errors.ts';
import { expectShape, formatShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  expectApart,
  expectDType,
  expectNumber,
  expectSameOrApart,
  expectTensor,
  expectWeight,
  ShapeLetters,
} from './arg-rules.ts';
import { type GatedActivationArgs, KV_DTYPES, type OpArgs, type OpName, type PagedAttentionArgs } from './ops.ts';

/** @throws ShapeError, UnsupportedError (dtypes) or InvalidArgumentError (numbers, aliasing, an op that does not exist). */
export function checkArgs<Name extends OpName>(op: Name, args: OpArgs[Name]): void {
  if (!Object.hasOwn(CHECKS, op)) {
    throw new InvalidArgumentError('op', `must be one of ${Object.keys(CHECKS).join(', ')}, got ${op}`);
  }
  CHECKS[op](args);
}

type Checks = { readonly [Name in OpName]: (args: OpArgs[Name]) => void };

const CHECKS: Checks = {
  embed({ tokenIds, weight, out }) {
    const sizes = new ShapeLetters('embed');
    sizes.bind('tokenIds', tokenIds, ['T']);
    sizes.bind('weight', weight, ['V', 'H']);
    sizes.bind('out', out, ['T', 'H']);
    expectInts('embed', { tokenIds });
    expectWeight('embed', 'weight', weight);
    expectActivations('embed', { out });
    expectApart('embed', out, 'weight', weight);
    expectApart('embed', out, 'tokenIds', tokenIds);
  },

  rmsNorm({ x, weight, eps, out }) {
    const sizes = new ShapeLetters('rmsNorm');
    sizes.bind('x', x, ['T', 'H']);
    sizes.bind('out', out, ['T', 'H']);
    expectActivations('rmsNorm', { x, out });
    expectVectors('rmsNorm', sizes, { weight }, out);
    expectNumber('rmsNorm eps', eps, 'a number from 0', (value) => value >= 0);
    expectSameOrApart('rmsNorm', out, 'x', x);
  },

  layerNorm({ x, weight, bias, eps, out }) {
    const sizes = new ShapeLetters('layerNorm');
    sizes.bind('x', x, ['T', 'H']);
    sizes.bind('out', out, ['T', 'H']);
    expectActivations('layerNorm', { x, out });
    expectVectors('layerNorm', sizes, { weight, bias }, out);
    expectNumber('layerNorm eps', eps, 'a number from 0', (value) => value >= 0);
    expectSameOrApart('layerNorm', out, 'x', x);
  },

  matmul({ x, weight, bias, residual, out }) {
    const sizes = new ShapeLetters('matmul');
    checkProduct('matmul', sizes, { x, out }, { weight, bias });
    if (residual === undefined) return;
    sizes.bind('residual', residual, ['T', 'N']);
    expectActivations('matmul', { residual });
    expectSameOrApart('matmul', out, 'residual', residual);
  },

  gatedMatmul({ x, gateWeight, gateBias, upWeight, upBias, activation, out }) {
    const sizes = new ShapeLetters('gatedMatmul');
    checkProduct('gatedMatmul', sizes, { x, out }, { gateWeight, gateBias });
    checkProduct('gatedMatmul', sizes, { x, out }, { upWeight, upBias });
    if (activation !== 'silu' && activation !== 'gelu') {
      throw new InvalidArgumentError('gatedMatmul activation', `must be 'silu' or 'gelu', got '${activation}'`);
    }
  },

  rope({ x, positions, table, style }) {
    const sizes = new ShapeLetters('rope');
    sizes.bind('x', x, ['T', 'heads', 'D']);
    sizes.bind('positions', positions, ['T']);
    sizes.bind('table', table, ['P', 'R']);
    expectActivations('rope', { x, table });
    expectInts('rope', { positions });
    const rotaryDim = sizes.size('R');
    if (rotaryDim % 2 !== 0 || rotaryDim > sizes.size('D')) {
      throw new ShapeError('rope', `table [P, R] with R even and at most D=${sizes.size('D')}`, `R=${rotaryDim}`);
    }
    if (style !== 'interleaved' && style !== 'neox') {
      throw new InvalidArgumentError('rope style', `must be 'interleaved' or 'neox', got '${style}'`);
    }
    expectApart('rope', x, 'table', table);
    expectApart('rope', x, 'positions', positions);
  },

  writeKv({ k, v, keyCache, valueCache, slotMapping }) {
    const sizes = new ShapeLetters('writeKv');
    sizes.bind('k', k, ['T', 'NKV', 'D']);
    sizes.bind('v', v, ['T', 'NKV', 'D']);
    sizes.bind('keyCache', keyCache, ['B', 'NKV', 'BS', 'D']);
    sizes.bind('valueCache', valueCache, ['B', 'NKV', 'BS', 'D']);
    sizes.bind('slotMapping', slotMapping, ['T']);
    expectActivations('writeKv', { k, v });
    expectDType('writeKv', 'keyCache', keyCache, KV_DTYPES);
    expectDType('writeKv', 'valueCache', valueCache, KV_DTYPES);
    expectInts('writeKv', { slotMapping });
    expectApart('writeKv', keyCache, 'valueCache', valueCache);
    for (const cache of [keyCache, valueCache]) {
      for (const [name, input] of Object.entries({ k, v, slotMapping })) expectApart('writeKv', cache, name, input);
    }
  },

  pagedAttention(args) {
    const { q, keyCache, valueCache, blockTables, queryStartLoc, seqLens, out } = args;
    const sizes = new ShapeLetters('pagedAttention');
    sizes.bind('q', q, ['T', 'NH', 'D']);
    sizes.bind('out', out, ['T', 'NH', 'D']);
    sizes.bind('keyCache', keyCache, ['B', 'NKV', 'BS', 'D']);
    sizes.bind('valueCache', valueCache, ['B', 'NKV', 'BS', 'D']);
    sizes.bind('blockTables', blockTables, ['S', 'maxBlocks']);
    sizes.bind('seqLens', seqLens, ['S']);
    sizes.bind('queryStartLoc', queryStartLoc, ['S + 1']);
    const numSeqs = sizes.size('S');
    if (sizes.size('S + 1') !== numSeqs + 1) {
      throw new ShapeError('pagedAttention', `queryStartLoc [S + 1 = ${numSeqs + 1}]`, `[${queryStartLoc.shape}]`);
    }
    const numHeads = sizes.size('NH');
    const numKvHeads = sizes.size('NKV');
    if (numKvHeads === 0 || numHeads % numKvHeads !== 0) {
      throw new ShapeError('pagedAttention', 'NH a multiple of NKV', `NH=${numHeads}, NKV=${numKvHeads}`);
    }
    if (sizes.size('BS') === 0) throw new ShapeError('pagedAttention', 'at least 1 token per block', 'BS=0');
    expectActivations('pagedAttention', { q, out });
    expectDType('pagedAttention', 'keyCache', keyCache, KV_DTYPES);
    expectDType('pagedAttention', 'valueCache', valueCache, KV_DTYPES);
    expectInts('pagedAttention', { blockTables, queryStartLoc, seqLens });
    checkAttentionNumbers(args);
    const inputs = { q, keyCache, valueCache, blockTables, queryStartLoc, seqLens };
    for (const [name, input] of Object.entries(inputs)) expectApart('pagedAttention', out, name, input);
  },

  siluMul: (args) => checkGatedActivation('siluMul', args),
  geluMul: (args) => checkGatedActivation('geluMul', args),

  add({ a, b, out }) {
    for (const [name, tensor] of Object.entries({ a, b, out })) expectTensor('add', name, tensor);
    expectShape('add', 'b', b.shape, a.shape);
    expectShape('add', 'out', out.shape, a.shape);
    expectActivations('add', { a, b, out });
    expectSameOrApart('add', out, 'a', a);
    expectSameOrApart('add', out, 'b', b);
  },

  gatherRows({ x, rows, out }) {
    const sizes = new ShapeLetters('gatherRows');
    sizes.bind('x', x, ['T', 'H']);
    sizes.bind('rows', rows, ['R']);
    sizes.bind('out', out, ['R', 'H']);
    expectActivations('gatherRows', { x, out });
    expectInts('gatherRows', { rows });
    expectApart('gatherRows', out, 'x', x);
    expectApart('gatherRows', out, 'rows', rows);
  },

  copyBlocks({ keyCache, valueCache, copies }) {
    const sizes = new ShapeLetters('copyBlocks');
    sizes.bind('keyCache', keyCache, ['B', 'NKV', 'BS', 'D']);
    sizes.bind('valueCache', valueCache, ['B', 'NKV', 'BS', 'D']);
    sizes.bind('copies', copies, ['C', 'pair']);
    if (sizes.size('pair') !== 2) throw new ShapeError('copyBlocks', 'copies [C, 2]', `[C, ${sizes.size('pair')}]`);
    expectDType('copyBlocks', 'keyCache', keyCache, KV_DTYPES);
    expectDType('copyBlocks', 'valueCache', valueCache, KV_DTYPES);
    expectInts('copyBlocks', { copies });
    expectApart('copyBlocks', keyCache, 'valueCache', valueCache);
  },

  tokenLogprobs({ logits, tokenIds, out }) {
    const sizes = new ShapeLetters('tokenLogprobs');
    sizes.bind('logits', logits, ['R', 'V']);
    sizes.bind('tokenIds', tokenIds, ['R']);
    sizes.bind('out', out, ['R']);
    expectActivations('tokenLogprobs', { logits, out });
    expectInts('tokenLogprobs', { tokenIds });
    expectApart('tokenLogprobs', out, 'logits', logits);
    expectApart('tokenLogprobs', out, 'tokenIds', tokenIds);
  },

  topLogits({ logits, out }) {
    const sizes = new ShapeLetters('topLogits');
    sizes.bind('logits', logits, ['R', 'V']);
    sizes.bind('out', out, ['R', 'K', 'pair']);
    const [vocabSize, numTop, pair] = [sizes.size('V'), sizes.size('K'), sizes.size('pair')];
    if (pair !== 2) throw new ShapeError('topLogits', 'out [R, K, 2]', `[R, K, ${pair}]`);
    if (numTop > vocabSize) throw new ShapeError('topLogits', `K up to V=${vocabSize}`, `K=${numTop}`);
    if (vocabSize > MAX_F32_INTEGER) throw new ShapeError('topLogits', `V up to ${MAX_F32_INTEGER}`, `V=${vocabSize}`);
    expectActivations('topLogits', { logits, out });
    expectApart('topLogits', out, 'logits', logits);
  },

  softmaxSums({ logits, rows, temperatures, segmentSize, out }) {
    const sizes = new ShapeLetters('softmaxSums');
    sizes.bind('logits', logits, ['R', 'V']);
    sizes.bind('rows', rows, ['Q']);
    sizes.bind('out', out, ['Q', 'S', 'parts']);
    expectNumber('softmaxSums segmentSize', segmentSize, 'a whole number from 1', (n) => Number.isInteger(n) && n >= 1);
    const numSegments = Math.ceil(sizes.size('V') / segmentSize);
    if (sizes.size('S') !== numSegments || sizes.size('parts') !== 3) {
      throw new ShapeError('softmaxSums', `out [Q, ${numSegments}, 3]`, formatShape(out.shape));
    }
    if (temperatures.length !== sizes.size('Q')) {
      throw new ShapeError('softmaxSums', `${sizes.size('Q')} temperatures`, `${temperatures.length}`);
    }
    const rule = 'a number above 0 whose reciprocal is finite';
    for (const temperature of temperatures) {
      expectNumber('softmaxSums temperature', temperature, rule, (t) => t > 0 && Number.isFinite(1 / t));
    }
    expectActivations('softmaxSums', { logits, out });
    expectInts('softmaxSums', { rows });
    expectApart('softmaxSums', out, 'logits', logits);
    expectApart('softmaxSums', out, 'rows', rows);
  },
};

/** Up to here f32 holds every whole number. */
const MAX_F32_INTEGER = 2 ** 24;

function checkAttentionNumbers({ scale, slidingWindow, softCap }: PagedAttentionArgs): void {
  expectNumber('pagedAttention scale', scale, 'a finite number', () => true);
  if (slidingWindow !== undefined) {
    const rule = 'absent or a whole number from 1 (tokens)';
    expectNumber('pagedAttention slidingWindow', slidingWindow, rule, (n) => Number.isInteger(n) && n >= 1);
  }
  if (softCap !== undefined) {
    expectNumber('pagedAttention softCap', softCap, 'absent or a number above 0', (value) => value > 0);
  }
}

function checkGatedActivation(op: 'siluMul' | 'geluMul', { gate, up, out }: GatedActivationArgs): void {
  const sizes = new ShapeLetters(op);
  sizes.bind('gate', gate, ['T', 'N']);
  sizes.bind('up', up, ['T', 'N']);
  sizes.bind('out', out, ['T', 'N']);
  expectActivations(op, { gate, up, out });
  expectSameOrApart(op, out, 'gate', gate);
  expectSameOrApart(op, out, 'up', up);
}

/** out = x · weightᵀ + bias.
 * @param layer  the weight and the bias, in this order, by their names in the op */
function checkProduct(
  op: string,
  sizes: ShapeLetters,
  { x, out }: { readonly x: Tensor; readonly out: Tensor },
  layer: Readonly<Record<string, Tensor | undefined>>,
): void {
  const [[weightName, weight], [biasName, bias]] = Object.entries(layer) as [[string, Tensor], [string, Tensor?]];
  sizes.bind('x', x, ['T', 'K']);
  sizes.bind(weightName, weight, ['N', 'K']);
  sizes.bind('out', out, ['T', 'N']);
  if (bias !== undefined) {
    sizes.bind(biasName, bias, ['N']);
    expectWeight(op, biasName, bias);
    expectApart(op, out, biasName, bias);
  }
  expectActivations(op, { x, out });
  expectWeight(op, weightName, weight);
  expectApart(op, out, 'x', x);
  expectApart(op, out, weightName, weight);
}

function expectActivations(op: string, tensors: Readonly<Record<string, Tensor>>): void {
  for (const [name, tensor] of Object.entries(tensors)) expectDType(op, name, tensor, ['f32']);
}

function expectInts(op: string, tensors: Readonly<Record<string, Tensor>>): void {
  for (const [name, tensor] of Object.entries(tensors)) expectDType(op, name, tensor, ['i32']);
}

/** Optional weights and biases with one value per feature, which `out` must not overwrite. */
function expectVectors(
  op: string,
  sizes: ShapeLetters,
  vectors: Readonly<Record<string, Tensor | undefined>>,
  out: Tensor,
): void {
  for (const [name, vector] of Object.entries(vectors)) {
    if (vector === undefined) continue;
    sizes.bind(name, vector, ['H']);
    expectWeight(op, name, vector);
    expectApart(op, out, name, vector);
  }
}
