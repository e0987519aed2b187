/** Cuts a stream of tokens into the windows that a model reads, such that each token but the first is predicted once.
 *
 *   window 6, stride 5                     window 6, stride 3
 *   t0 t1 t2 t3 t4 t5                      t0 t1 t2 t3 t4 t5
 *      ^  ^  ^  ^  ^  counted                 ^  ^  ^  ^  ^
 *                  t5 t6 t7 t8 t9 t10               t3 t4 t5 t6 t7 t8
 *                     ^  ^  ^  ^  ^                             ^  ^  ^   t4, t5 are context only
 */
export interface TokenWindow {
  readonly tokenIds: Int32Array;
  /** Counted are the predictions of `tokenIds[firstCounted]` and on. At least 1. */
  readonly firstCounted: number;
}

export interface WindowOptions {
  /** Tokens per window. Minimum 2. */
  readonly window: number;
  /** From one window's start to the next's, in tokens. From 1 to `window` - 1. */
  readonly stride: number;
  /** Stands in for the first token of each window but the first, which is context only. */
  readonly bosId?: number | undefined;
}

/** The last window may be shorter; none comes without a token to count. */
export async function* tokenWindows(
  chunks: AsyncIterable<Int32Array>,
  { window, stride, bosId }: WindowOptions,
): AsyncGenerator<TokenWindow> {
  let pending = new Int32Array(0);
  let isFirst = true;
  const take = (length: number): TokenWindow => {
    const tokenIds = pending.slice(0, length);
    const firstCounted = isFirst ? 1 : window - stride;
    if (!isFirst && bosId !== undefined) tokenIds[0] = bosId;
    pending = pending.subarray(Math.min(stride, pending.length));
    isFirst = false;
    return { tokenIds, firstCounted };
  };
  for await (const chunk of chunks) {
    const joined = new Int32Array(pending.length + chunk.length);
    joined.set(pending);
    joined.set(chunk, pending.length);
    pending = joined;
    while (pending.length >= window) yield take(window);
  }
  if (pending.length > (isFirst ? 1 : window - stride)) yield take(pending.length);
}
