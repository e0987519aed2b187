/** A whole module: functions, all exported by name, over one imported shared memory.
 *
 *   magic version | types | imports: env.memory | functions | exports | code | custom: variant
 *
 * Source  WebAssembly specification, section 5.5; shared memories: threads proposal */
import { byteCode, type Code, toBytes } from './bytes.ts';
import { type FunctionBuilder, sized, vector } from './function-builder.ts';
import { unsignedLeb128 } from './leb128.ts';

export const PAGE_BYTES = 65_536;
/** 4 GiB: all that a 32-bit address reaches. */
export const MAX_PAGES = 65_536;

const MAGIC_AND_VERSION = '\x00asm\x01\x00\x00\x00';
const MEMORY = '\x02';
const SHARED_WITH_MAXIMUM = '\x03';
const FUNCTION = '\x00';

/** @param variant  a name that sets otherwise equal modules apart: V8 keeps compiled code by a module's bytes and would
 *   hand out what it compiled under other flags
 * @returns the binary module; `instance.exports[name]` are its functions, `{ env: { memory } }` its imports */
export function buildModule(functions: readonly FunctionBuilder[], variant: string): Uint8Array<ArrayBuffer> {
  const indices = functions.map((_, index) => unsignedLeb128(index));
  const numbers = new Map(functions.map(({ name }, index) => [name, index]));
  const numberOf = (name: string): number => {
    const number = numbers.get(name);
    if (number === undefined) throw new Error(`${name} is called and is not in the module`);
    return number;
  };
  const memoryType = MEMORY + SHARED_WITH_MAXIMUM + unsignedLeb128(1) + unsignedLeb128(MAX_PAGES);
  const code =
    MAGIC_AND_VERSION +
    section(1, vector(functions.map(({ signature }) => signature))) +
    section(2, vector([text('env') + text('memory') + memoryType])) +
    section(3, vector(indices)) +
    section(7, vector(functions.map(({ name }, index) => text(name) + FUNCTION + indices[index]!))) +
    section(10, vector(functions.map((fn) => fn.code(numberOf)))) +
    section(0, text('quern.variant') + text(variant));
  return toBytes(code);
}

const section = (id: number, content: Code): Code => byteCode(id) + sized(content);

/** Names are ASCII. */
const text = (name: string): Code => sized(name);
