/** What happens to sequences, told while it happens.
 *
 * A listener gets plain arguments and reads the rest from the sequence, so an event allocates nothing, heard or not.
 * Events are collected while the scheduler changes its state and delivered when the state is whole again: a listener may
 * call the scheduler (abort another sequence, say), and one that throws breaks nothing but its own call. */
import type { Sequence } from './sequence.ts';

/**   queued --> started --> prefilled --> firstToken --> finished | aborted | timedOut | failed
 *                 |  ^                                  (these four from any state)
 *       preempted v  | resumed                                                              */
export type SequenceEvent =
  | 'queued'
  | 'started'
  | 'prefilled'
  | 'firstToken'
  | 'preempted'
  | 'resumed'
  | 'finished'
  | 'aborted'
  | 'timedOut'
  | 'failed';

export type SequenceListener = (event: SequenceEvent, sequence: Sequence, atMs: number) => void;

export class SequenceEvents {
  readonly #listener: SequenceListener | undefined;
  // Three parallel arrays that are emptied and reused.
  readonly #events: SequenceEvent[] = [];
  readonly #sequences: Sequence[] = [];
  readonly #times: number[] = [];
  #isDelivering = false;

  constructor(listener: SequenceListener | undefined) {
    this.#listener = listener;
  }

  add(event: SequenceEvent, sequence: Sequence, atMs: number): void {
    if (this.#listener === undefined) return;
    this.#events.push(event);
    this.#sequences.push(sequence);
    this.#times.push(atMs);
  }

  /** Delivers what was added, in order, and what listeners cause meanwhile.
   * @throws the first error that a listener threw, after all events are delivered */
  deliver(): void {
    if (this.#listener === undefined || this.#isDelivering || this.#events.length === 0) return;
    this.#isDelivering = true;
    let firstError: { error: unknown } | undefined;
    for (let i = 0; i < this.#events.length; i++) {
      try {
        this.#listener(this.#events[i]!, this.#sequences[i]!, this.#times[i]!);
      } catch (error) {
        firstError ??= { error };
      }
    }
    this.#events.length = 0;
    this.#sequences.length = 0;
    this.#times.length = 0;
    this.#isDelivering = false;
    if (firstError !== undefined) throw firstError.error;
  }
}
