/** Machine code is a string with a character, 0 to 255, for each byte. Kernels are put together from hundreds of thousands of
 * small pieces at every start of an engine, and V8 joins strings without copying them, by keeping both parts; native code
 * brings them into one piece when all is there. */
export type Code = string;

/** Characters from here on stand for functions that are called, as long as these have no number (FunctionBuilder.call). */
export const FIRST_CALLEE = 0x100;

export const byteCode = (byte: number): Code => String.fromCharCode(byte);

/** The bytes of lanes, or of a number. */
export function bytesOf({ buffer, byteOffset, byteLength }: NodeJS.TypedArray): Code {
  // Takes half the time of a spread, and of a Buffer.
  return String.fromCharCode.apply(null, new Uint8Array(buffer, byteOffset, byteLength) as unknown as number[]);
}

export function toBytes(code: Code): Uint8Array<ArrayBuffer> {
  return Buffer.from(code, 'latin1');
}
