/** Finds stop strings in text that arrives in pieces, and says which text is safe to show.
 *
 * A stop string may begin in one piece and end in a later one, so the end of the text is held back as long as it could
 * be the beginning of a stop string:
 *
 *   stop "###"    in  "Hi #"   "# no"   "w ###x"
 *                 out "Hi "    "## no"  "w "         and the rest is dropped
 *                      held "#"          matched
 *
 * The first stop string to be complete wins, as if the text came one character at a time: how it is cut into pieces
 * makes no difference. Of two that end at the same character the longer wins. The text ends before the stop string.
 *
 * Each stop string is followed by a Knuth-Morris-Pratt automaton (Knuth, Morris & Pratt 1977), whose state is how many
 * of its characters the text so far ends with. Time is linear in the text, whatever it says. Characters are UTF-16 code
 * units. Knows text only. */
import { InvalidArgumentError } from '../errors.ts';

interface StopAutomaton {
  readonly text: string;
  /** fallback[n]: the longest proper prefix of the stop string that its first n characters end with. */
  readonly fallback: Int32Array;
  /** Characters matched so far. */
  state: number;
}

export interface StopStringMatcherOptions {
  /** Leave the stop string in the text (`include_stop_str_in_output`). Then nothing is ever held back. Default false. */
  readonly includeStop?: boolean;
}

export class StopStringMatcher {
  readonly #automata: readonly StopAutomaton[];
  readonly #includeStop: boolean;
  #held = '';
  #matched: string | undefined;

  /** @throws InvalidArgumentError for an empty stop string. */
  constructor(stops: readonly string[], { includeStop = false }: StopStringMatcherOptions = {}) {
    this.#automata = stops.map((text) => ({ text, fallback: buildFallback(text), state: 0 }));
    this.#includeStop = includeStop;
  }

  /** The stop string that was found. Nothing is put out any more once there is one. */
  get matched(): string | undefined {
    return this.#matched;
  }

  /** Takes in the next piece; returns the text that is now safe to show.
   * @param mayStop  false while `min_tokens` is not met: a stop string that ends in this piece is ordinary text */
  feed(piece: string, mayStop = true): string {
    if (this.#matched !== undefined) return '';
    if (this.#automata.length === 0) return piece;
    const text = this.#held + piece;
    for (let end = this.#held.length + 1; end <= text.length; end++) {
      const matched = this.#advance(text.charCodeAt(end - 1));
      if (matched !== undefined && mayStop) {
        this.#matched = matched;
        this.#held = '';
        return text.slice(0, this.#includeStop ? end : end - matched.length);
      }
    }
    const numSafe = text.length - this.#numHeld();
    this.#held = text.slice(numSafe);
    return text.slice(0, numSafe);
  }

  /** The text still held back, when no more will come. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    for (const automaton of this.#automata) automaton.state = 0;
    return held;
  }

  /** Follows one character in every automaton. Returns the longest stop string that ends with it. */
  #advance(code: number): string | undefined {
    let matched: string | undefined;
    for (const automaton of this.#automata) {
      const { text, fallback } = automaton;
      let { state } = automaton;
      while (state > 0 && text.charCodeAt(state) !== code) state = fallback[state]!;
      if (text.charCodeAt(state) === code) state += 1;
      if (state === text.length) {
        if (matched === undefined || text.length > matched.length) matched = text;
        state = fallback[state]!;
      }
      automaton.state = state;
    }
    return matched;
  }

  /** How many characters at the end may still become a stop string. */
  #numHeld(): number {
    if (this.#includeStop) return 0;
    let numHeld = 0;
    for (const { state } of this.#automata) numHeld = Math.max(numHeld, state);
    return numHeld;
  }
}

function buildFallback(text: string): Int32Array {
  if (text === '') throw new InvalidArgumentError('stop', 'a stop string must not be empty: it would match everywhere');
  const fallback = new Int32Array(text.length + 1);
  let length = 0;
  for (let n = 1; n < text.length; n++) {
    while (length > 0 && text[length] !== text[n]) length = fallback[length]!;
    if (text[length] === text[n]) length += 1;
    fallback[n + 1] = length;
  }
  return fallback;
}
