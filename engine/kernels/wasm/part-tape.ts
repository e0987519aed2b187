/** The ops of a step as a thread runs them. What they are, where they run and where the threads must meet depends on the
 * tensors alone, not on what lies in them: decoding asks for the same ones token after token. So they are kept on a tape, and
 * the next step of that size plays it: a loop over functions. */
import { checkArgs } from '../check-args.ts';
import type { KernelOps } from '../kernel-backend.ts';
import type { OpArgs, OpName } from '../ops.ts';
import { MAX_JOINED } from './linear-memory.ts';
import type { Machine } from './machine.ts';
import { Meetings } from './meetings.ts';
import { prepareInPlace } from './mirrors.ts';
import { kernelsForOp } from './needed-kernels.ts';
import { OP_NAMES } from './ops/index.ts';
import type { PartThread } from './part-thread.ts';

type Entry = (thread: PartThread) => void;

export type PartTape = readonly Entry[];

export function play(tape: PartTape, thread: PartThread): void {
  for (const entry of tape) entry(thread);
}

/** Runs a thread's part of ops as they come.
 * @returns how to do the same again */
export function record(machines: readonly Machine[], thread: PartThread, program: (ops: KernelOps) => void): PartTape {
  const tape: Entry[] = [];
  const meetings = new Meetings(machines.length === 1);
  let numJoined = 0;
  const perform = (entry: Entry): void => {
    entry(thread);
    tape.push(entry);
  };
  const meetAll = (): void => {
    meetings.clear();
    numJoined = 0;
    perform((thread) => thread.meetAll());
  };
  const run = <Name extends OpName>(op: Name, args: OpArgs[Name]): void => {
    checkArgs(op, args);
    machines[0]!.expectKernels(kernelsForOp(op, args));
    if (meetings.areDue(op, args) || numJoined === MAX_JOINED) meetAll();
    meetings.note(op, args);
    numJoined++;
    const runPart = prepareInPlace(machines, op, args);
    perform((thread) => {
      runPart(thread);
      thread.finishOp();
    });
  };
  program(Object.fromEntries(OP_NAMES.map((op) => [op, (args: never) => run(op, args)])) as unknown as KernelOps);
  // So that the next program's threads find nobody in this one.
  meetAll();
  return tape;
}
