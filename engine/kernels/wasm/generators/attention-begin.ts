/** What comes before the keys: queries are brought together, and have met nothing. */
import type { Statement } from '../emitter/code.ts';
import { advance, branchIf, countDown, loop } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4 } from '../emitter/simd.ts';
import { blocksOf, QUERY_BLOCK, SCALING, type StripDType } from './attention-rows.ts';
import {
  LOWEST,
  RECORD_ACCUMULATOR,
  RECORD_BYTES,
  RECORD_MAX,
  RECORD_SUM,
  STRIP_ROW_BYTES,
} from './attention-scratch.ts';
import { scaleRow } from './scale-floats.ts';
import { storeVectors } from './store-vectors.ts';

/** (records, accumulators, queries, rowBytes, count) -> (): `count` records that have met nothing, of queries and accumulators
 * `rowBytes` apart. */
export function clearAttention(): FunctionBuilder {
  const fn = new FunctionBuilder('attention_clear');
  const names = ['records', 'accumulators', 'queries', 'rowBytes', 'count'] as const;
  const { records, accumulators, queries, rowBytes, count } = fn.params(...names);
  const end = fn.local('i32');
  const zero = fn.constant(f32x4.constant(0));
  fn.emit(
    countDown(
      count,
      i32.store(records, queries),
      i32.store(records, accumulators, RECORD_ACCUMULATOR),
      f32.store(records, f32.const(LOWEST), RECORD_MAX),
      f32.store(records, f32.const(0), RECORD_SUM),
      advance(records, RECORD_BYTES),
      advance(queries, rowBytes),
      end.set(i32.add(accumulators, rowBytes)),
      loop(
        ...storeVectors(accumulators, [zero, zero, zero, zero]),
        advance(accumulators, STRIP_ROW_BYTES),
        branchIf(0, i32.ltU(accumulators, end)),
      ),
    ),
  );
  return fn;
}

/** (source, target, headDim, rowBytes, count) -> (): `count` queries that lie side by side, to places `rowBytes` apart, as keys
 * of the dtype ask for: times what SCALING says, or rounded to blocks of 16-bit levels. */
export function copyQueries(dtype: StripDType): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_queries_${dtype}`);
  const names = ['source', 'target', 'headDim', 'rowBytes', 'count'] as const;
  const { source, target, headDim, rowBytes, count } = fn.params(...names);
  const scale = (): Statement[] => {
    const row = fn.local('i32');
    const factor = f32.const(SCALING[dtype].query);
    return [row.set(target), ...scaleRow(fn, { source, target: row, count: headDim, factor })];
  };
  const round = (): Statement[] => {
    const scaleAt = i32.add(target, i32.const(QUERY_BLOCK.scaleOffset));
    return [
      fn.call('quantize_i16', source, target, scaleAt, i32.const(QUERY_BLOCK.bytes), blocksOf(headDim)),
      advance(source, i32.shl(headDim, i32.const(2))),
    ];
  };
  fn.emit(countDown(count, ...(dtype === 'q8_0' ? round() : scale()), advance(target, rowBytes)));
  return fn;
}
