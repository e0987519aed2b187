/** What a caller hands in, checked and turned into values of the template interpreter, with or without marks on every
 * text. Must not know templates. */
import { InvalidArgumentError } from '../errors.ts';
import { mark } from './content-marks.ts';
import { arrayValue, objectValue, type RuntimeValue, stringValue, toRuntimeValue } from './jinja/runtime-values.ts';

/** Deeper data than any tool's schema; beyond it recursion could run out of stack. */
const MAX_DEPTH = 64;

/** Counts characters while it converts: the work that a template may do depends on them. */
export class ValueReader {
  readonly #marks: boolean;
  numCharacters = 0;

  /** @param marks  put marks around every text and every key */
  constructor(marks: boolean) {
    this.#marks = marks;
  }

  /** A JSON value, or a Map of JSON values.
   * @param path  for error messages
   * @throws InvalidArgumentError for anything that JSON lacks, and for what is too deep or goes in a circle */
  read(value: unknown, path: string, depth = 0): RuntimeValue {
    if (depth > MAX_DEPTH) throw new InvalidArgumentError(path, `is nested more than ${MAX_DEPTH} levels deep`);
    this.numCharacters++;
    switch (typeof value) {
      case 'string':
        return stringValue(this.#text(value));
      case 'boolean':
        return toRuntimeValue(value);
      case 'number':
        if (Number.isFinite(value)) return toRuntimeValue(value);
        break;
      case 'object':
        if (value === null) return toRuntimeValue(null);
        if (Array.isArray(value)) {
          return arrayValue(value.map((item: unknown, i) => this.read(item, `${path}[${i}]`, depth + 1)));
        }
        return this.#readObject(value, path, depth);
      default:
    }
    throw new InvalidArgumentError(
      path,
      `must be a JSON value, got ${typeof value === 'number' ? value : typeof value}`,
    );
  }

  #readObject(value: object, path: string, depth: number): RuntimeValue {
    const source: Iterable<[string, unknown]> = value instanceof Map ? value : Object.entries(value);
    const entries = this.#marks ? new MarkedKeys() : new Map<string, RuntimeValue>();
    for (const [key, item] of source) {
      if (item === undefined) continue;
      const text = key.toWellFormed();
      this.numCharacters += text.length;
      const itemPath = `${path}.${text.slice(0, 40)}`;
      // A role is one of a closed list (see chat-message.ts): it is the template's word.
      const isRole = value instanceof Map && text === 'role';
      entries.set(text, isRole ? stringValue(item as string) : this.read(item, itemPath, depth + 1));
    }
    return objectValue(entries);
  }

  #text(text: string): string {
    this.numCharacters += text.length;
    const wellFormed = text.toWellFormed();
    return this.#marks ? mark(wellFormed) : wellFormed;
  }
}

/** Keys are content like values: they are looked up plain, and marked wherever they are listed. */
class MarkedKeys extends Map<string, RuntimeValue> {
  override *keys(): MapIterator<string> {
    for (const key of super.keys()) yield mark(key);
  }

  override *entries(): MapIterator<[string, RuntimeValue]> {
    for (const [key, value] of super.entries()) yield [mark(key), value];
  }

  override [Symbol.iterator](): MapIterator<[string, RuntimeValue]> {
    return this.entries();
  }
}
