/** Attention of one query position over the pages of its sequence, for the query heads that share one KV head.
 *
 * Online softmax (Milakov & Gimelshein 2018; Dao et al. 2022): keys are taken 64 at a time from the first that the query
 * sees; a running maximum and sum per head, and what is in `out` so far, are rescaled whenever the maximum grows. Where
 * the steps fall depends only on the query's own position and window, never on pages, chunks or company (law 2).
 *
 *   for 64 keys:   rowOffsets[i] = where key i's row lies, from its page in the block table
 *     for a head:  scores[i] = q . k[i]                 four keys at once, eight partial sums each
 *                  weights[i] = e^(scores[i] - max)
 *                  out = out * e^(old max - max) + sum of weights[i] * v[i]        32 features at a time
 *
 * The scratch memory of a call:
 *   0      rowOffsets  64 x i32
 *   256    scores      64 x f32
 *   512    partial sums of four scores, 4 x 8 x f32
 *   640    per head: max f32, sum f32
 *
 * V8 looks for pairs of 128-bit instructions to fuse from pairs of stores back to what they store, and gives up where a
 * load stands between the two. That is why partial sums take a way round by memory, and why stores come last. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import { advance, branchIf, countDown, loop, when } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import type { Features } from './arithmetic.ts';
import {
  addValues,
  type Context,
  divideBySum,
  type FiveLocals,
  type KvFormat,
  LOWEST,
  PARAMS,
  type Params,
  STATE,
  STEP_KEYS,
  scoreKeys,
  softmaxStep,
} from './attention-steps.ts';
import { HALF_POSTSCALE, HALF_PRESCALE, loadF16x4, loadF32x4 } from './half-floats.ts';

/** Of a head's maximum and sum. */
const STATE_BYTES = 8;

export function attentionScratchBytes(numHeads: number): number {
  return STATE + numHeads * STATE_BYTES;
}

export const ATTENTION_F32: KvFormat = { name: 'f32', bytesPerElement: 4, load: loadF32x4, prescale: 1, postscale: 1 };
export const ATTENTION_F16: KvFormat = {
  name: 'f16',
  bytesPerElement: 2,
  load: loadF16x4,
  prescale: HALF_PRESCALE,
  postscale: HALF_POSTSCALE,
};

/** (PARAMS as i32, scale f32) -> (). */
export function attention(kv: KvFormat, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_${kv.name}`);
  const p = Object.fromEntries(PARAMS.map((name) => [name, fn.param('i32')])) as unknown as Params;
  const scale = fn.param('f32');
  const [page, slot, stepKeys, head, headBytes] = fn.locals('i32', 5) as FiveLocals;
  const [query, output, state, numFours, rowBytes] = fn.locals('i32', 5) as FiveLocals;
  const [max, sum, rescale] = fn.locals('f32', 3) as [Local<'f32'>, Local<'f32'>, Local<'f32'>];
  const context: Context = { fn, kv, features, p, query, output, stepKeys, max, sum, rescale, numFours, scale };

  const forEachHead = (...body: readonly Statement[]): Statement[] => [
    query.set(p.q),
    output.set(p.out),
    state.set(p.scratch),
    head.set(p.numHeads),
    countDown(head, ...body, advance(query, headBytes), advance(output, headBytes), advance(state, STATE_BYTES)),
  ];

  fn.emit(
    headBytes.set(i32.shl(p.headDim, i32.const(2))),
    rowBytes.set(i32.mul(p.headDim, i32.const(kv.bytesPerElement))),
    page.set(i32.add(p.table, i32.shl(i32.divU(p.firstKey, p.blockSize), i32.const(2)))),
    slot.set(i32.remU(p.firstKey, p.blockSize)),
    ...forEachHead(
      f32.store(state, f32.const(LOWEST), STATE),
      f32.store(state, f32.const(0), STATE + 4),
      ...fillZeros(fn, output, p.headDim),
    ),
    loop(
      stepKeys.set(i32.select(p.numKeys, i32.const(STEP_KEYS), i32.ltU(p.numKeys, i32.const(STEP_KEYS)))),
      numFours.set(i32.shrU(i32.add(stepKeys, i32.const(3)), i32.const(2))),
      ...findRows(fn, p, { page, slot, stepKeys, rowBytes, numFours }),
      ...forEachHead(
        max.set(f32.load(state, STATE)),
        sum.set(f32.load(state, STATE + 4)),
        ...scoreKeys(context),
        ...softmaxStep(context),
        f32.store(state, max, STATE),
        f32.store(state, sum, STATE + 4),
        ...addValues(context),
      ),
      p.numKeys.set(i32.sub(p.numKeys, stepKeys)),
      branchIf(0, p.numKeys),
    ),
    ...forEachHead(...divideBySum(context, f32.load(state, STATE + 4))),
  );
  return fn;
}

function fillZeros(fn: FunctionBuilder, start: I32, headDim: I32): Statement[] {
  const [at, rounds] = [fn.local('i32'), fn.local('i32')];
  const zero = fn.constant(f32x4.constant(0));
  return [
    at.set(start),
    rounds.set(i32.shrU(headDim, i32.const(3))),
    countDown(rounds, v128.store(at, zero), v128.store(at, zero, 16), advance(at, 32)),
  ];
}

/** Fills `rowOffsets`. Scores are computed four at a time: up to three entries past the last repeat it, so that what is
 * read there is a row that may be read. */
function findRows(
  fn: FunctionBuilder,
  p: Params,
  walk: Readonly<Record<'page' | 'slot' | 'stepKeys' | 'rowBytes' | 'numFours', Local<'i32'>>>,
): Statement[] {
  const { page, slot, stepKeys, rowBytes, numFours } = walk;
  const [at, rounds, row] = fn.locals('i32', 3) as [Local<'i32'>, Local<'i32'>, Local<'i32'>];
  return [
    at.set(p.scratch),
    rounds.set(stepKeys),
    countDown(
      rounds,
      when(i32.eq(slot, p.blockSize), slot.set(i32.const(0)), advance(page, 4)),
      row.set(i32.add(i32.mul(i32.load(page), p.blockBytes), i32.mul(slot, rowBytes))),
      i32.store(at, row),
      advance(slot, 1),
      advance(at, 4),
    ),
    rounds.set(i32.sub(i32.shl(numFours, i32.const(2)), stepKeys)),
    when(rounds, countDown(rounds, i32.store(at, row), advance(at, 4))),
  ];
}
