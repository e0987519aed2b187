/** When the sequences of one measurement were queued, gave their first token and ended: what the engine's own events
 * say, so that no reader's delay is measured. */
import type { SequenceListener } from '../../engine/scheduler/sequence-events.ts';

export class SequenceTimes {
  #queuedMs: number[] = [];
  #firstTokenMs: number[] = [];
  #finishedMs: number[] = [];

  /** For `EngineOptions.onSequenceEvent`. */
  readonly listener: SequenceListener = (event, _sequence, atMs) => {
    if (event === 'queued') this.#queuedMs.push(atMs);
    else if (event === 'firstToken') this.#firstTokenMs.push(atMs);
    else if (event === 'finished') this.#finishedMs.push(atMs);
  };

  reset(): void {
    this.#queuedMs = [];
    this.#firstTokenMs = [];
    this.#finishedMs = [];
  }

  /** From the first prompt's arrival until every prompt's last row was computed and sampled from. */
  get promptMs(): number {
    return Math.max(...this.#firstTokenMs) - Math.min(...this.#queuedMs);
  }

  /** From the step that gave every sequence its first token until all have ended.
   * @throws Error when not all had it in the same step: then other work than decoding would be measured */
  get decodeMs(): number {
    const startMs = Math.max(...this.#firstTokenMs);
    if (Math.min(...this.#firstTokenMs) !== startMs) throw new Error('the sequences did not start in the same step');
    return Math.max(...this.#finishedMs) - startMs;
  }
}
