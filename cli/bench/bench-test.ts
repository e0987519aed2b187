/** What `quern bench` measures, under the names that llama-bench made common. Knows no engine. */
import { InvalidArgumentError } from '../../engine/errors.ts';

/** `depth` tokens of each sequence are in the KV cache before the clock starts. */
export interface BenchTest {
  /** pp: prompt processing, many tokens of one sequence at a time. tg: text generation, one token of each of `batch`
   * sequences at a time. */
  readonly kind: 'pp' | 'tg';
  /** Tokens of each sequence while the clock runs. */
  readonly numTokens: number;
  readonly batch: number;
  readonly depth: number;
}

export interface TestSelection {
  /** Tokens to process and to generate, 0 for no such test. Default 512 and 128, or what the context holds. */
  readonly prompt?: number;
  readonly generate?: number;
  /** Sequences that generate at the same time. One test each. */
  readonly batch: readonly number[];
  readonly depth: number;
}

/** Prompts at a depth come from the prefix cache, which keeps whole blocks. */
export const BLOCK_SIZE = 16;

const DEFAULT_PROMPT = 512;
const DEFAULT_GENERATE = 128;

/** `pp512`, `tg128`, `tg128@b16`, `tg128@b4@d4096`. */
export function testName({ kind, numTokens, batch, depth }: BenchTest): string {
  return `${kind}${numTokens}${batch === 1 ? '' : `@b${batch}`}${depth === 0 ? '' : `@d${depth}`}`;
}

/** Positions that each sequence takes. A prompt is followed by the token sampled after it, which shows that it is done;
 * a generation begins with a prompt of one token beyond the depth, and the first token sampled starts the clock. */
export function contextOf({ kind, numTokens, depth }: BenchTest): number {
  return depth + numTokens + (kind === 'pp' ? 1 : 2);
}

/** @param maxContext  positions that a sequence can have
 * @throws InvalidArgumentError for what does not fit, or when nothing is left to measure */
export function selectTests(selection: TestSelection, maxContext: number): BenchTest[] {
  const { depth, batch } = selection;
  if (depth % BLOCK_SIZE !== 0) {
    throw new InvalidArgumentError('--depth', `must be a multiple of ${BLOCK_SIZE}, got ${depth}`);
  }
  const room = (kind: BenchTest['kind']): number => maxContext - contextOf({ kind, numTokens: 0, batch: 1, depth });
  if (room('pp') < 1)
    throw new InvalidArgumentError('--depth', `${depth} leaves no room in a context of ${maxContext}`);
  const prompt = selection.prompt ?? Math.min(DEFAULT_PROMPT, room('pp'));
  const generate = selection.generate ?? Math.max(0, Math.min(DEFAULT_GENERATE, room('tg')));
  expectRoom('--prompt', prompt, room('pp'), maxContext);
  expectRoom('--generate', generate, room('tg'), maxContext);
  const tests: BenchTest[] = [];
  if (prompt > 0) tests.push({ kind: 'pp', numTokens: prompt, batch: 1, depth });
  if (generate > 0) for (const b of new Set(batch)) tests.push({ kind: 'tg', numTokens: generate, batch: b, depth });
  if (tests.length === 0) throw new InvalidArgumentError('--prompt', 'is 0 and so is --generate: nothing to measure');
  return tests;
}

function expectRoom(option: string, value: number, room: number, maxContext: number): void {
  if (value <= Math.max(0, room)) return;
  throw new InvalidArgumentError(
    option,
    `${value} tokens do not fit into a context of ${maxContext}; at most ${Math.max(0, room)}`,
  );
}
