/** Chooses a token from a summary of the row: the very token that the whole row would give, or none when that is not
 * certain.
 *
 * Certain means proven. Membership of the best k, or above min_p's limit, is a matter of comparisons, which are exact. A
 * nucleus or a draw compares sums, which every order of adding rounds a little differently; here they are added in
 * another order than over the whole row, so a comparison counts only when the two sides differ by more than all rounding
 * of both ways together. */
import { argmax } from './argmax.ts';
import type { Candidates } from './candidates.ts';
import { draw } from './draw.ts';
import { KnownTokens } from './known-tokens.ts';
import type { LogitsProcessor, ProcessorContext } from './logits-processor.ts';
import type { ProcessorChain } from './processor-chain.ts';
import { type RowSummary, sumsAt } from './row-summary.ts';
import type { SamplingParams } from './sampling-params.ts';
import { SEGMENT_SIZE, type SegmentSums } from './segment-sums.ts';
import type { SummaryStrategy } from './summary-strategy.ts';

/** Rounding of sums over a vocabulary, relative to the sum of what is added: V roundings of 2^-53 in each of the two sums
 * of the whole row's way and about as many here, a few of an exponential each; twice that, to be safe. */
function roundingOf(vocabSize: number): number {
  return 2 ** -40 + vocabSize * 2 ** -50;
}

export class SummarySampler {
  readonly #strategy: SummaryStrategy;
  readonly #params: SamplingParams;
  readonly #edits: readonly LogitsProcessor[];
  readonly #filters: readonly LogitsProcessor[];
  readonly #candidates: Candidates;
  readonly #known: KnownTokens;

  constructor(
    strategy: SummaryStrategy,
    params: SamplingParams,
    { edits, filters }: ProcessorChain,
    candidates: Candidates,
  ) {
    this.#strategy = strategy;
    this.#params = params;
    this.#edits = edits;
    this.#filters = filters;
    this.#candidates = candidates;
    this.#known = new KnownTokens(candidates);
  }

  /** The token's id, or -1 when the summary does not say. Random numbers are used up only with a token. */
  choose(summary: RowSummary, context: ProcessorContext): number {
    const { top } = summary;
    if (this.#strategy === 'greedy' && this.#edits.length === 0)
      return top[1]! > Number.NEGATIVE_INFINITY ? top[0]! : -1;
    const candidates = this.#candidates;
    const known = this.#known;
    known.load(summary, this.#edits, context);
    for (const edit of this.#edits) edit.apply(candidates, context);
    switch (this.#strategy) {
      case 'greedy':
        return known.numUntouchedTop >= 1 ? this.#idAt(argmax(candidates.logits, candidates.size)) : -1;
      case 'top_k':
        return known.numUntouchedTop >= this.#params.topK ? this.#filterAndDraw(this.#filters, context) : -1;
      case 'min_p':
        return this.#endsAboveFloor() ? this.#filterAndDraw(this.#filters, context) : -1;
      case 'top_p':
        return this.#keepNucleus(summary) ? this.#filterAndDraw(this.#filters.slice(1), context) : -1;
      case 'all':
        return this.#drawFromAll(summary, context);
      default:
        return this.#strategy satisfies never;
    }
  }

  #idAt(place: number): number {
    return place === -1 ? -1 : this.#candidates.ids[place]!;
  }

  #filterAndDraw(filters: readonly LogitsProcessor[], context: ProcessorContext): number {
    for (const filter of filters) filter.apply(this.#candidates, context);
    return this.#idAt(draw(this.#candidates, context.rng));
  }

  /** Whether min_p drops every unknown token. */
  #endsAboveFloor(): boolean {
    if (this.#known.numUntouchedTop === Number.POSITIVE_INFINITY) return true;
    const limit = this.#candidates.maxLogit() + Math.log(this.#params.minP);
    return this.#known.numUntouchedTop >= 1 && this.#known.floor < limit;
  }

  /** Leaves the nucleus as candidates; false when it cannot be told from the summary. */
  #keepNucleus(summary: RowSummary): boolean {
    const { logits } = this.#candidates;
    const sums = sumsAt(summary, 1);
    if (sums === undefined || !Number.isFinite(sums.max)) return false;
    const { total, rounding } = this.#totalAfterEdits(summary, sums);
    const target = this.#params.topP * total;
    const order = this.#placesInOrder();
    let sum = 0;
    for (const [i, place] of order.entries()) {
      const before = sum;
      sum += sums.weightOfLogit(logits[place]!);
      if (sum < target) continue;
      const isCertain = sum - target > rounding && (i === 0 || target - before > rounding);
      if (isCertain) this.#candidates.keepPlaces(order.slice(0, i + 1).sort((a, b) => a - b));
      return isCertain;
    }
    return false;
  }

  /** Candidates that certainly come before every unknown token, best first. */
  #placesInOrder(): number[] {
    const { ids, logits, size } = this.#candidates;
    const places: number[] = [];
    for (let place = 0; place < size; place++) {
      if (this.#known.isAheadOfUnknown(ids[place]!, logits[place]!)) places.push(place);
    }
    return places.sort((a, b) => logits[b]! - logits[a]! || a - b);
  }

  /** The sum of all weights once the edits are done, and how far off it may be. */
  #totalAfterEdits({ row }: RowSummary, sums: SegmentSums): { readonly total: number; readonly rounding: number } {
    let total = sums.total();
    let size = total;
    for (const id of this.#known.touched) {
      const [before, after] = [weightOf(sums, row![id]!), this.#weightNow(sums, id)];
      total += after - before;
      size += after + before;
    }
    return { total, rounding: size * roundingOf(this.#candidates.vocabSize) };
  }

  /** The weight of a known token, with what the edits did to it. */
  #weightNow(sums: SegmentSums, tokenId: number): number {
    return weightOf(sums, this.#candidates.logits[this.#candidates.placeOf(tokenId)]!);
  }

  /** Walks along the segments to the one in which the draw falls, and in that along its tokens. */
  #drawFromAll(summary: RowSummary, { rng }: ProcessorContext): number {
    const sums = sumsAt(summary, this.#params.temperature);
    if (sums === undefined || !Number.isFinite(sums.max)) return -1;
    const { total, rounding } = this.#totalAfterEdits(summary, sums);
    const target = rng.peekFloat() * total;
    const { touched } = this.#known;
    let before = 0;
    let next = 0;
    for (let segment = 0; segment < sums.length; segment++) {
      const firstTouched = next;
      let after = before + sums.weightOf(segment);
      for (; next < touched.length && touched[next]! < (segment + 1) * SEGMENT_SIZE; next++) {
        after += this.#weightNow(sums, touched[next]!) - weightOf(sums, summary.row![touched[next]!]!);
      }
      if (after > target) {
        const id = this.#drawFromSegment(summary, sums, { segment, firstTouched, before, target, rounding });
        if (id !== -1) rng.nextFloat();
        return id;
      }
      before = after;
    }
    return -1;
  }

  #drawFromSegment(summary: RowSummary, sums: SegmentSums, at: SegmentDraw): number {
    const { segment, target, rounding } = at;
    const { touched } = this.#known;
    const row = summary.row!;
    let { before, firstTouched: next } = at;
    const end = Math.min(row.length, (segment + 1) * SEGMENT_SIZE);
    for (let id = segment * SEGMENT_SIZE; id < end; id++) {
      const isTouched = touched[next] === id;
      if (isTouched) next += 1;
      const after = before + (isTouched ? this.#weightNow(sums, id) : weightOf(sums, row[id]!));
      if (after > target) return target - before > rounding && after - target > rounding ? id : -1;
      before = after;
    }
    return -1;
  }
}

interface SegmentDraw {
  readonly segment: number;
  /** Where the segment's tokens begin among the touched ones. */
  readonly firstTouched: number;
  /** The weights of all segments before, together. */
  readonly before: number;
  readonly target: number;
  readonly rounding: number;
}

/** 0 for a banned token, and for NaN, which counts as one. */
function weightOf(sums: SegmentSums, logit: number): number {
  return logit > Number.NEGATIVE_INFINITY ? sums.weightOfLogit(logit) : 0;
}
