/** The two numbers that follow every load and store: an alignment hint and a constant offset added to the address. */
import type { Code } from './bytes.ts';
import { unsignedLeb128 } from './leb128.ts';

const ANYWHERE = '\x00';

/** The hint says that the address may lie anywhere. Only atomics must not use it; nothing here is one.
 * Source  WebAssembly specification, section 5.4.6 (memarg) */
export function memoryArgument(byteOffset: number): Code {
  return ANYWHERE + unsignedLeb128(byteOffset);
}
