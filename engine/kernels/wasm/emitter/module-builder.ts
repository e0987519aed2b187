/** A whole module: functions, all exported by name, over one imported shared memory.
 *
 *   magic version | types | imports: env.memory | functions | exports | code | custom: variant
 *
 * Source  WebAssembly specification, section 5.5; shared memories: threads proposal */
import { type Code, flatten } from './code.ts';
import type { FunctionBuilder } from './function-builder.ts';
import { unsignedLeb128 } from './leb128.ts';

export const PAGE_BYTES = 65_536;
/** 4 GiB: all that a 32-bit address reaches. */
export const MAX_PAGES = 65_536;

const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const SHARED_WITH_MAXIMUM = 3;

/** @param variant  a name that sets otherwise equal modules apart: V8 keeps compiled code by a module's bytes and would
 *   hand out what it compiled under other flags
 * @returns the binary module; `instance.exports[name]` are its functions, `{ env: { memory } }` its imports */
export function buildModule(functions: readonly FunctionBuilder[], variant: string): Uint8Array<ArrayBuffer> {
  const indices = functions.map((_, index) => index);
  return flatten([
    MAGIC_AND_VERSION,
    section(1, list(functions.map(({ signature }) => signature))),
    section(
      2,
      list([[text('env'), text('memory'), 2, SHARED_WITH_MAXIMUM, unsignedLeb128(1), unsignedLeb128(MAX_PAGES)]]),
    ),
    section(3, list(indices.map((index) => unsignedLeb128(index)))),
    section(7, list(functions.map(({ name }, index) => [text(name), 0, unsignedLeb128(index)]))),
    section(10, list(functions.map(({ code }) => code))),
    section(0, [text('quern.variant'), text(variant)]),
  ]);
}

function section(id: number, content: Code): Code {
  const bytes = flatten(content);
  return [id, unsignedLeb128(bytes.length), bytes];
}

function list(items: readonly Code[]): Code {
  return [unsignedLeb128(items.length), items];
}

function text(value: string): Code {
  const bytes = [...new TextEncoder().encode(value)];
  return [unsignedLeb128(bytes.length), bytes];
}
