/** What Python does with values where JavaScript does otherwise: `str`, `repr`, `==`, `in`, `<`. Templates were written
 * against jinja2, which is Python all the way down. Source: the Python language reference, "Expressions" and "Data model". */
import { hasMarks, mark, unmark } from '../content-marks.ts';
import { isArray, isObject, isString, numberOf, type RuntimeValue } from './runtime-values.ts';

/** `str(value)`: what a template prints. Undefined prints nothing, None prints 'None'. */
export function pythonStr(value: RuntimeValue): string {
  return isString(value) ? value.value : value.type === 'UndefinedValue' ? '' : pythonRepr(value);
}

function pythonRepr(value: RuntimeValue): string {
  if (isString(value)) {
    return hasMarks(value.value) ? mark(quote(unmark(value.value))) : quote(value.value);
  }
  if (isArray(value)) {
    const items = value.value.map(pythonRepr);
    if (value.type !== 'TupleValue') return `[${items.join(', ')}]`;
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`;
  }
  if (isObject(value)) {
    const entries = [...value.value.entries()].map(([key, item]) => {
      const shownKey = hasMarks(key) ? mark(quote(unmark(key))) : quote(key);
      return `${shownKey}: ${pythonRepr(item)}`;
    });
    return `{${entries.join(', ')}}`;
  }
  if (value.type === 'BooleanValue') return value.value === true ? 'True' : 'False';
  if (value.type === 'NullValue') return 'None';
  if (value.type === 'UndefinedValue') return 'Undefined';
  return value.toString();
}

/** Single quotes unless only double ones avoid an escape. */
function quote(text: string): string {
  const delimiter = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/[\\'\n\r\t]|[\p{Cc}]/gu, (char) => {
    if (char === '\\') return '\\\\';
    if (char === "'") return delimiter === "'" ? "\\'" : "'";
    if (char === '\n') return '\\n';
    if (char === '\r') return '\\r';
    if (char === '\t') return '\\t';
    return `\\x${char.codePointAt(0)!.toString(16).padStart(2, '0')}`;
  });
  return `${delimiter}${escaped}${delimiter}`;
}

/** `a == b`: by value, also for lists and mappings; a number never equals a text. */
export function pythonEquals(a: RuntimeValue, b: RuntimeValue): boolean {
  if (a === b) return true;
  if (isString(a) || isString(b)) return isString(a) && isString(b) && unmark(a.value) === unmark(b.value);
  if (isArray(a) && isArray(b)) {
    return a.value.length === b.value.length && a.value.every((item, i) => pythonEquals(item, b.value[i]!));
  }
  if (isObject(a) && isObject(b)) {
    if (a.value.size !== b.value.size) return false;
    for (const [key, item] of a.value) {
      const other = b.value.get(unmark(key));
      if (other === undefined || !pythonEquals(item, other)) return false;
    }
    return true;
  }
  const x = numberOf(a);
  const y = numberOf(b);
  if (x !== undefined || y !== undefined) return x === y;
  return a.type === b.type && a.value === b.value;
}

/** `item in container`; undefined when the container is none. */
export function pythonContains(item: RuntimeValue, container: RuntimeValue): boolean | undefined {
  if (isArray(container)) return container.value.some((member) => pythonEquals(member, item));
  if (container.type === 'UndefinedValue') return false;
  if (!isString(item)) return undefined;
  const text = unmark(item.value);
  if (isString(container)) return unmark(container.value).includes(text);
  return isObject(container) ? container.value.has(text) : undefined;
}

/** Below 0, 0 or above 0 for two numbers or two texts; undefined for what has no order. */
export function pythonCompare(a: RuntimeValue, b: RuntimeValue): number | undefined {
  const x = numberOf(a);
  const y = numberOf(b);
  if (x !== undefined && y !== undefined) return x - y;
  if (!isString(a) || !isString(b)) return undefined;
  const left = [...unmark(a.value)];
  const right = [...unmark(b.value)];
  const at = left.findIndex((char, i) => char !== right[i]);
  if (at < 0) return left.length - right.length;
  return right[at] === undefined ? 1 : left[at]!.codePointAt(0)! - right[at].codePointAt(0)!;
}
