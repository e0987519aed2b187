/** What a step's sequences want of the rows that the model computes for them. */
import type { SummaryNeeds, SummarySupport } from '../sampling/row-summary.ts';
import type { ScheduledSequence, SchedulerOutput } from '../scheduler/scheduler-output.ts';

/** What a sequence wants of its rows.
 * 'next'    what choosing a token needs of the last row, in the step that reaches it
 * 'score'   of each row, the log-probability of the token that follows it in the prompt (none for the prompt's last)
 * 'hidden'  the final hidden state of each row */
export type RowsWanted = 'next' | 'score' | 'hidden';

/** What is wanted of unfinished sequences, and a sequence's prompt, which 'score' needs one token beyond the step. */
export interface RowPolicy {
  readonly rowsWanted: (sequenceId: number) => RowsWanted;
  /** For 'next': `undefined` is the whole row of logits. */
  readonly needsOf: (sequenceId: number, support: SummarySupport) => SummaryNeeds | undefined;
  readonly promptOf: (sequenceId: number) => { readonly tokenIds: ArrayLike<number>; readonly numPromptTokens: number };
}

/** A policy for one step: what can be had where it runs is settled. */
export interface StepPolicy extends Omit<RowPolicy, 'needsOf'> {
  readonly needsOf: (sequenceId: number) => SummaryNeeds | undefined;
}

/** The policy as it is now, for the sequences of one step. A sequence may end while the step is computed; what was asked
 * for it still lies among the results, and has to be passed over. */
export function freezePolicy(output: SchedulerOutput, policy: RowPolicy, support: SummarySupport): StepPolicy {
  const wanted = new Map<number, RowsWanted>();
  const needs = new Map<number, SummaryNeeds | undefined>();
  const prompts = new Map<number, ReturnType<RowPolicy['promptOf']>>();
  for (const { id, samples } of output.scheduled) {
    const rows = policy.rowsWanted(id);
    wanted.set(id, rows);
    if (rows === 'next' && samples) needs.set(id, policy.needsOf(id, support));
    if (rows === 'score') prompts.set(id, policy.promptOf(id));
  }
  return { rowsWanted: (id) => wanted.get(id)!, needsOf: (id) => needs.get(id), promptOf: (id) => prompts.get(id)! };
}

/** Rows of the step that have a next token in the prompt: all but the prompt's last. */
export function numScored(
  { id, numComputedTokens, numScheduledTokens }: ScheduledSequence,
  policy: StepPolicy,
): number {
  const numLeft = policy.promptOf(id).numPromptTokens - 1 - numComputedTokens;
  return Math.max(0, Math.min(numScheduledTokens, numLeft));
}
