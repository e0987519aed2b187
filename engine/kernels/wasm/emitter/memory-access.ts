/** The two numbers that follow every load and store: an alignment hint and a constant offset added to the address. */
import type { Code } from './code.ts';
import { unsignedLeb128 } from './leb128.ts';

/** The hint says that the address may lie anywhere. Only atomics must not use it; nothing here is one.
 * Source  WebAssembly specification, section 5.4.6 (memarg) */
export function memoryArgument(byteOffset: number): Code {
  return [0x00, unsignedLeb128(byteOffset)];
}
