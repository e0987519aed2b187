/** How much a template may do. Jinja has no endless loop, but loops within loops and a text that doubles with each turn
 * come to the same. Counts evaluations and the size of what they give, never time: a template fails on every machine or on none. */
import { isArray, isString, type RuntimeValue } from './runtime-values.ts';

/** Evaluations that any template may make. Published ones make some hundred per message. */
const MIN_WORK = 1_000_000;
/** And as many more for each character of the conversation. */
const WORK_PER_CHARACTER = 100;
/** What a turn of a loop costs before anything in it is evaluated. */
const WORK_PER_TURN = 4;
/** Longest text that may come up while rendering: as long as what goes in, so many times over. */
const MIN_LENGTH = 4 * 2 ** 20;
const LENGTH_PER_CHARACTER = 16;

export class TemplateLimitError extends Error {}

export class WorkBudget {
  readonly #maxLength: number;
  readonly #treeWork: number;
  #left: number;

  /** @param numCharacters   of the conversation that is rendered
   *  @param templateLength  in characters */
  constructor(numCharacters: number, templateLength: number) {
    this.#treeWork = templateLength >>> 3;
    this.#left = MIN_WORK + WORK_PER_CHARACTER * numCharacters;
    this.#maxLength = MIN_LENGTH + LENGTH_PER_CHARACTER * numCharacters;
  }

  /** One evaluation, before it is made. @throws TemplateLimitError */
  spend(): void {
    if (--this.#left < 0) throw new TemplateLimitError('it does not come to an end');
  }

  /** A loop that is about to run: the package makes a scope for every turn first. */
  spendOnLoop(iterable: RuntimeValue): void {
    if (isArray(iterable)) this.#left -= WORK_PER_TURN * iterable.value.length;
  }

  /** A walk through the syntax tree. */
  spendOnTree(): void {
    this.#left -= this.#treeWork;
  }

  /** What an evaluation gave. @throws TemplateLimitError */
  spendOn(value: RuntimeValue): void {
    if (isString(value)) {
      if (value.value.length > this.#maxLength) throw new TemplateLimitError('its text grows without end');
      this.#left -= value.value.length >>> 6;
    } else if (isArray(value)) {
      this.#left -= value.value.length >>> 3;
    }
  }
}
