/** Runs over a row of logits until one is above a limit. Finding the best of a vocabulary is mostly this: of 128,000 logits
 * in no order only some hundred ever get above the worst of the best so far. */
import { advance, block, branchIf, loop } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';

/** (row, count, limit f32) -> i32: the index of the first element above the limit, `count` when there is none. NaN is
 * above nothing. */
export function findAbove(): FunctionBuilder {
  const fn = new FunctionBuilder('find_above');
  const [row, count, limit] = [fn.param('i32'), fn.param('i32'), fn.param('f32')];
  const [at, end, bulkEnd] = [fn.local('i32'), fn.local('i32'), fn.local('i32')];
  const limits = fn.local('v128');
  const isAbove = (offset: number) => f32x4.gt(v128.load(at, offset), limits);
  const sixteen = v128.anyTrue(v128.or(v128.or(isAbove(0), isAbove(16)), v128.or(isAbove(32), isAbove(48))));
  fn.emit(
    limits.set(f32x4.splat(limit)),
    at.set(row),
    end.set(i32.add(row, i32.shl(count, i32.const(2)))),
    bulkEnd.set(i32.add(row, i32.shl(i32.and(count, i32.const(-16)), i32.const(2)))),
    block(
      branchIf(0, i32.eq(at, bulkEnd)),
      loop(branchIf(1, sixteen), advance(at, 64), branchIf(0, i32.ltU(at, bulkEnd))),
    ),
    block(
      branchIf(0, i32.eq(at, end)),
      loop(branchIf(1, f32.gt(f32.load(at), limit)), advance(at, 4), branchIf(0, i32.ltU(at, end))),
    ),
  );
  fn.returns(i32.shrU(i32.sub(at, row), i32.const(2)));
  return fn;
}
