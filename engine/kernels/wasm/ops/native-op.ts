/** What a native op is: code for a part of the work, and a rule for which arguments it takes. The rest goes to the
 * reference. */
import type { OpArgs, OpName } from '../../ops.ts';
import type { Part } from '../../part.ts';
import type { Machine } from '../machine.ts';
import type { AttentionPlans } from './attention-plan.ts';
import type { OwnRows } from './own-rows.ts';
import type { PackedActivations } from './packed-activations.ts';

/** How a thread takes part in an op that several run together. */
export interface Share {
  readonly part: Part;
  /** Returns when every thread has called it. Ops of more than one phase call it between them; after the op the caller
   * does. Every part must call it equally often. */
  meet(): void;
  /** See Gate. */
  readonly generation: number;
  /** How many ops other threads may still be in, before this one (meetings.ts). */
  readonly numJoined: number;
  /** What matmuls have packed since the threads last met. */
  readonly packed: PackedActivations;
  /** What threads have computed for themselves since then. */
  readonly own: OwnRows;
  /** Of the attention of this step's layers. */
  readonly plans: AttentionPlans;
}

/** An op with its arguments, as a thread runs its part of it. */
export type PreparedOp = (share: Share) => void;

export type NativeOp<Name extends OpName> = OpRules<Name> & (RunsAtOnce<Name> | Prepares<Name>);

interface RunsAtOnce<Name extends OpName> {
  /** Checks index inputs before it writes anything, like the reference ops. */
  run(machine: Machine, args: OpArgs[Name], share: Share): void;
}

interface Prepares<Name extends OpName> {
  /** Does what depends on the arguments alone; the rest is done as often as the step is played. */
  prepare(machine: Machine, args: OpArgs[Name]): PreparedOp;
}

interface OpRules<Name extends OpName> {
  /** Whether the kernels take these arguments. Depends on dtypes and on sizes that are a model's, never on how many
   * tokens there are: an op must not change hands between a token alone and a batch (law 2). */
  takes(args: OpArgs[Name]): boolean;

  // What spares meetings (meetings.ts):

  /** Whether every thread keeps all of `out` among its own rows. */
  keepsOwn?(args: OpArgs[Name]): boolean;
  /** The argument that is taken from there. */
  readonly readsOwn?: keyof OpArgs[Name];
  /** How many equal runs each tensor of three dimensions is cut into, of which a part is a range. */
  unitsOf?(args: OpArgs[Name]): number;
}
