/** Lines of a stream of bytes, one at a time, each with its place. Splits at line feeds only: other line ends that Unicode
 * knows may stand inside a JSON string, or a message. A line longer than any request can be is told as such and not held in
 * memory, so that one damaged line does not take down a run of many. */
const LINE_FEED = 0x0a;

export interface ByteLine {
  /** From 0; blank lines count. */
  readonly index: number;
  readonly byteOffset: number;
  /** Without the line feed; undefined when the line is longer than the limit. */
  readonly bytes: Uint8Array | undefined;
  /** False for a last line without a line feed: whoever wrote it may have been interrupted. */
  readonly isWhole: boolean;
}

export interface ByteLinesOptions {
  /** Tell of a line that is too long as soon as it is, and end: such a line may have no end. Default false. */
  readonly endsAtLongLine?: boolean;
}

/** @param maxBytes  longest line that is kept */
export async function* byteLines(
  input: AsyncIterable<Uint8Array>,
  maxBytes: number,
  { endsAtLongLine = false }: ByteLinesOptions = {},
): AsyncGenerator<ByteLine> {
  let parts: Uint8Array[] = [];
  let numBytes = 0;
  let index = 0;
  let byteOffset = 0;
  const take = (isWhole: boolean): ByteLine => {
    const line = { index, byteOffset, bytes: numBytes > maxBytes ? undefined : Buffer.concat(parts), isWhole };
    byteOffset += numBytes + 1;
    index++;
    parts = [];
    numBytes = 0;
    return line;
  };
  const add = (part: Uint8Array): void => {
    numBytes += part.length;
    if (numBytes > maxBytes) parts = [];
    else parts.push(part);
  };
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      add(chunk.subarray(start, end));
      yield take(true);
      start = end + 1;
    }
    if (start < chunk.length) add(chunk.subarray(start));
    if (endsAtLongLine && numBytes > maxBytes) break;
  }
  if (numBytes > 0) yield take(false);
}
