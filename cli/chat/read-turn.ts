/** One turn of a person at a terminal: several lines, Ctrl-C and Ctrl-D told apart. Must not know how lines are read. */

export type LineEvent =
  | { readonly kind: 'line'; readonly text: string }
  /** Ctrl-C. */
  | { readonly kind: 'interrupt'; readonly hadText: boolean }
  /** Ctrl-D, or the terminal is gone. */
  | { readonly kind: 'end' };

export interface LineSource {
  read(prompt: string): Promise<LineEvent>;
}

/** A line that ends with a backslash goes on in the next. Ctrl-C takes back what was typed; on an empty prompt the second
 * one leaves.
 * @returns undefined to leave */
export async function readTurn(source: LineSource, note: (text: string) => void): Promise<string | undefined> {
  let lines: string[] = [];
  let isWarned = false;
  for (;;) {
    const event = await source.read(lines.length === 0 ? '> ' : '. ');
    switch (event.kind) {
      case 'end':
        return undefined;
      case 'interrupt': {
        const wasEmpty = lines.length === 0 && !event.hadText;
        if (wasEmpty && isWarned) return undefined;
        if (wasEmpty) note('(Ctrl-C once more, or Ctrl-D, leaves)');
        isWarned = wasEmpty;
        lines = [];
        break;
      }
      case 'line':
        isWarned = false;
        if (!event.text.endsWith('\\')) return [...lines, event.text].join('\n');
        lines.push(event.text.slice(0, -1));
        break;
      default:
        event satisfies never;
    }
  }
}
