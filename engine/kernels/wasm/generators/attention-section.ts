/** Attention of the queries of one row over all the keys of a section that they see, read from their pages as they are: what a
 * decoded token does. All of them see the same keys, so the walk needs no more than arithmetic, and is one call.
 *
 *   find the strips of the section in the sequence's pages, and touch them
 *   scores, of all keys: for each step, for up to SMALL_GROUP queries of every head at a time
 *   softmax, of all queries
 *   weighted values, likewise
 *
 * All keys before all values: each is one long run of memory. ops/attention-many-rows.ts does the same for queries that see
 * different keys. */
import type { Expression, I32, Local, Statement, ValueType } from '../emitter/code.ts';
import { advance, branchIf, loop, when } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import type { StripDType } from './attention-rows.ts';
import {
  LOG2_STRIP,
  RECORD_BYTES,
  SCORE_ROW_BYTES,
  SECTION_KEYS,
  SMALL_GROUP,
  STEP_KEYS,
  STRIP,
  STRIP_ENTRY_BYTES,
  STRIP_VALUES,
  stripEntry,
} from './attention-scratch.ts';
import { HEAD_PARAMS } from './attention-tile.ts';
import { touchFrom } from './touch-pages.ts';

type I = Local<'i32'>;

/** Queries that go together. */
const SMALL_COUNTS = Array.from({ length: SMALL_GROUP }, (_, i) => i + 1);

/** Where the pages are, of which `table` lists a sequence's: the cache's first byte, or that of its first head that is
 * wanted; how far apart pages lie, and strips within one; tokens per page. */
const PAGE_PARAMS = ['keys', 'values', 'table', 'blockSize', 'blockBytes', 'stripBytes'] as const;

/** (records, strips, scores, headDim, firstKey, endKey, numHeads, headQueries, headBytes, keys, values, table, blockSize,
 * blockBytes, stripBytes, isCapped, scale f32, softCap f32, weightScale f32) -> (): all `headQueries` queries of each head meet
 * keys `firstKey` to `endKey` - 1, at least one, of one section, as attentionScores, attentionSoftmax and attentionValues say. */
export function attentionSection(dtype: StripDType): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_section_${dtype}`);
  const p = fn.params(
    ...(['records', 'strips', 'scores', 'headDim', 'firstKey', 'endKey'] as const),
    ...HEAD_PARAMS,
    ...PAGE_PARAMS,
    'isCapped',
  );
  const [scale, softCap, weightScale] = [fn.param('f32'), fn.param('f32'), fn.param('f32')];
  const [start, from, to, past, first, count] = fn.locals('i32', 6) as [I, I, I, I, I, I];
  const records = i32.add(p.records, i32.mul(first, i32.const(RECORD_BYTES)));
  const scores = i32.add(p.scores, i32.mul(first, i32.const(SCORE_ROW_BYTES)));
  const heads = [p.numHeads, p.headQueries, p.headBytes];
  /** The kernel `attention_${kernel}_N`, for a group of N queries after the other. */
  const eachGroup = (kernel: string, ...args: readonly Expression<ValueType>[]): Statement[] => [
    first.set(i32.const(0)),
    loop(
      count.set(smaller(i32.sub(p.headQueries, first), i32.const(SMALL_GROUP))),
      ...SMALL_COUNTS.map((n) => when(i32.eq(count, i32.const(n)), fn.call(`attention_${kernel}_${n}`, ...args))),
      advance(first, count),
      branchIf(0, i32.ltU(first, p.headQueries)),
    ),
  ];
  /** For each step, keys `from` to `past` - 1 of the section. */
  const eachStep = (...body: readonly Statement[]): Statement[] => [
    from.set(i32.sub(p.firstKey, start)),
    loop(
      past.set(smaller(i32.add(i32.and(from, i32.const(-STEP_KEYS)), i32.const(STEP_KEYS)), to)),
      ...body,
      from.set(past),
      branchIf(0, i32.ltU(from, to)),
    ),
  ];
  const product = [p.headDim, from, past, ...heads];
  fn.emit(
    start.set(i32.and(p.firstKey, i32.const(-SECTION_KEYS))),
    to.set(i32.sub(p.endKey, start)),
    ...pointAtStrips(fn, p),
    ...eachStep(...eachGroup(`scores_${dtype}`, records, p.strips, scores, ...product, scale)),
    from.set(i32.sub(p.firstKey, start)),
    ...eachGroup('softmax', records, scores, from, to, ...heads, p.isCapped, softCap, weightScale),
    ...eachStep(...eachGroup(`values_${dtype}`, records, p.strips, scores, ...product)),
  );
  return fn;
}

const smaller = (a: I32, b: I32): I32 => i32.select(a, b, i32.ltU(a, b));

/** Fills the table of strips with those that hold keys `firstKey` to `endKey` - 1, and touches the memory of all of them, as
 * touch-pages.ts says. */
function pointAtStrips(
  fn: FunctionBuilder,
  p: Readonly<Record<'strips' | 'firstKey' | 'endKey' | 'numHeads' | 'headBytes' | (typeof PAGE_PARAMS)[number], I>>,
): Statement[] {
  const [key, entry, strip, headsBytes, at, end] = fn.locals('i32', 6) as [I, I, I, I, I, I];
  const page = i32.load(i32.add(p.table, i32.shl(i32.divU(key, p.blockSize), i32.const(2))));
  const stripInPage = i32.shrU(i32.remU(key, p.blockSize), i32.const(LOG2_STRIP));
  /** From the first head's strip to the end of the last one's. */
  const touch = (cache: I): Statement[] => [
    at.set(i32.add(cache, strip)),
    end.set(i32.add(at, headsBytes)),
    ...touchFrom(fn, at, end),
  ];
  return [
    headsBytes.set(i32.add(i32.mul(i32.sub(p.numHeads, i32.const(1)), p.headBytes), p.stripBytes)),
    key.set(i32.and(p.firstKey, i32.const(-STRIP))),
    entry.set(stripEntry(p.strips, i32.and(key, i32.const(SECTION_KEYS - 1)))),
    loop(
      strip.set(i32.add(i32.mul(page, p.blockBytes), i32.mul(stripInPage, p.stripBytes))),
      i32.store(entry, i32.add(p.keys, strip)),
      i32.store(entry, i32.add(p.values, strip), STRIP_VALUES),
      ...touch(p.keys),
      ...touch(p.values),
      advance(entry, STRIP_ENTRY_BYTES),
      advance(key, STRIP),
      branchIf(0, i32.ltU(key, p.endKey)),
    ),
  ];
}
