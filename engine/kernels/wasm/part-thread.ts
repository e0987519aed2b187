/** One of several threads that run the same ops: its part, where it meets the others, and what it keeps in mind between two
 * meetings. */
import type { Gate, Part } from '../part.ts';
import { AttentionPlans } from './ops/attention-plan.ts';
import type { Share } from './ops/native-op.ts';
import { OwnRows } from './ops/own-rows.ts';
import { PackedActivations } from './ops/packed-activations.ts';

export class PartThread implements Share {
  readonly part: Part;
  readonly packed = new PackedActivations();
  readonly own = new OwnRows();
  readonly plans: AttentionPlans;
  readonly #gate: Gate;
  #numJoined = 0;

  constructor(part: Part, gate: Gate) {
    this.part = part;
    this.plans = new AttentionPlans(part);
    this.#gate = gate;
  }

  get generation(): number {
    return this.#gate.generation;
  }

  get numJoined(): number {
    return this.#numJoined;
  }

  meet(): void {
    this.#gate.wait();
  }

  /** To be called after an op. */
  finishOp(): void {
    this.#numJoined++;
  }

  /** Between two ops. */
  meetAll(): void {
    this.#numJoined = 0;
    this.packed.forget();
    this.own.forget();
    this.#gate.wait();
  }
}
