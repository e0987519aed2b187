/** Blocks, loops and branches. A branch names its target by how many constructs it leaves: 0 is the innermost.
 * Source  WebAssembly specification, section 5.4.1 */
import { type I32, type Local, type Statement, sequence, statement } from './code.ts';
import { unsignedLeb128 } from './leb128.ts';
import { i32 } from './scalar.ts';

/** With their type: no result. */
const [BLOCK, LOOP, IF] = ['\x02\x40', '\x03\x40', '\x04\x40'];
const BRANCH_IF = '\x0d';
const END = '\x0b';

/** Runs the body once; a branch to it leaves it. */
export function block(...body: readonly Statement[]): Statement {
  return statement(BLOCK + sequence(body) + END);
}

/** Runs the body once; a branch to it starts it again. */
export function loop(...body: readonly Statement[]): Statement {
  return statement(LOOP + sequence(body) + END);
}

export function branchIf(depth: number, condition: I32): Statement {
  return statement(condition.code + BRANCH_IF + unsignedLeb128(depth));
}

export function when(condition: I32, ...body: readonly Statement[]): Statement {
  return statement(condition.code + IF + sequence(body) + END);
}

/** Runs the body `counter` times, which must be at least once; `counter` is 0 afterwards. Testing at the end makes it
 * one branch per round. */
export function countDown(counter: Local<'i32'>, ...body: readonly Statement[]): Statement {
  return loop(...body, branchIf(0, counter.tee(i32.sub(counter, i32.const(1)))));
}

/** Runs the body `counter` times, perhaps never. */
export function countDownFromAny(counter: Local<'i32'>, ...body: readonly Statement[]): Statement {
  return when(counter, countDown(counter, ...body));
}

/** Moves a pointer forward. */
export function advance(pointer: Local<'i32'>, bytes: number | I32): Statement {
  return pointer.set(i32.add(pointer, typeof bytes === 'number' ? i32.const(bytes) : bytes));
}
