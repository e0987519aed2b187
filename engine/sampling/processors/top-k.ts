/** Keeps the k highest logits, the lower ids among equals.
 * Source  Fan, Lewis & Dauphin 2018, "Hierarchical Neural Story Generation", section 5.4 */
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor } from '../logits-processor.ts';

export class TopKProcessor implements LogitsProcessor {
  readonly name = 'top_k';
  readonly k: number;

  /** @param k at least 1 */
  constructor(k: number) {
    this.k = k;
  }

  apply(candidates: Candidates): void {
    candidates.keepTop(this.k);
  }
}
