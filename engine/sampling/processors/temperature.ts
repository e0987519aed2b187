/** Divides logits by the temperature: below 1 sharpens the distribution, above 1 flattens it.
 *
 *   logit' = (logit - max) / temperature
 *
 * Subtracting the maximum changes no probability and keeps the division from overflowing. A temperature of 0 is the
 * limit: only the highest logit remains, the lowest id among equals.
 * Source  Ackley, Hinton & Sejnowski 1985, "A Learning Algorithm for Boltzmann Machines" */
import { argmax } from '../argmax.ts';
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor } from '../logits-processor.ts';

export class TemperatureProcessor implements LogitsProcessor {
  readonly name = 'temperature';
  readonly temperature: number;

  constructor(temperature: number) {
    this.temperature = temperature;
  }

  apply(candidates: Candidates): void {
    const { logits, size } = candidates;
    const { temperature } = this;
    if (temperature === 0) {
      const best = argmax(logits, size);
      for (let i = 0; i < size; i++) {
        if (i !== best) logits[i] = Number.NEGATIVE_INFINITY;
      }
      return;
    }
    const max = candidates.maxLogit();
    if (!Number.isFinite(max)) return; // banned, or at +Infinity: no temperature changes that
    for (let i = 0; i < size; i++) logits[i] = (logits[i]! - max) / temperature;
  }
}
