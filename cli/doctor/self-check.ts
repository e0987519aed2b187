/** The quickest proof that an installation computes rightly: the bundled model continues a prompt on a backend, threads
 * and all, and must choose the tokens that it chose in the program that trained it. */
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';

export interface SelfCheck {
  readonly backend: string;
  readonly ok: boolean;
  /** What went wrong. */
  readonly reason: string | null;
  readonly seconds: number;
}

/** A prompt after which the bundled story model is never in two minds: the likeliest token leads by 0.3 or more, several
 * times what rounding to Q8_0 moves a logit. So every right backend chooses the same. */
export const SELF_CHECK_PROMPT = '"Where are you going?" asked the old woman.';

/** Source  tests/golden/story-4m.json: greedy tokens of PyTorch in float32 */
export const SELF_CHECK_TOKENS: readonly number[] = [
  199, 199, 2, 41, 561, 815, 276, 446, 75, 411, 337, 84, 1922, 355, 803, 260,
];

/** Loading and 16 tokens take a second or two; on a GPU the first run compiles shaders. */
const TIMEOUT_MS = 60_000;

/** Never throws: whatever goes wrong is the result. */
export async function selfCheck(
  backend: string,
  { path = bundledModelPath(), signal }: { readonly path?: string; readonly signal: AbortSignal },
): Promise<SelfCheck> {
  const startMs = performance.now();
  const reason = await problemOf(backend, path, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
  return { backend, ok: reason === null, reason, seconds: (performance.now() - startMs) / 1000 };
}

async function problemOf(backend: string, path: string, signal: AbortSignal): Promise<string | null> {
  try {
    await using engine = await Engine.load(path, { backend, maxModelLen: 64, maxNumSeqs: 1, signal });
    const options = { max_tokens: SELF_CHECK_TOKENS.length, temperature: 0, signal };
    const { choices } = await engine.generate(SELF_CHECK_PROMPT, options).result;
    return difference(choices[0]!.tokenIds);
  } catch (error) {
    if (signal.aborted && signal.reason?.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
    return error instanceof Error ? error.message : String(error);
  }
}

function difference(tokenIds: readonly number[]): string | null {
  const place = SELF_CHECK_TOKENS.findIndex((expected, i) => tokenIds[i] !== expected);
  if (place === -1) return null;
  return `token ${place + 1} should be ${SELF_CHECK_TOKENS[place]}, but is ${tokenIds[place] ?? 'missing'}`;
}
