/** The element types a safetensors file may name, and their sizes.
 *
 * Source: `enum Dtype` of the safetensors crate. F4 and F6 elements are packed without padding. */

/** The file's name for a type, and bits per element. */
const BITS: readonly (readonly [string, number])[] = [
  ['BOOL', 8],
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E5M2FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['C64', 64],
  ['F64', 64],
  ['I64', 64],
  ['U64', 64],
];

const BITS_BY_NAME: ReadonlyMap<string, number> = new Map(BITS);

/** @returns undefined for a name the format does not have. Names are upper-case: `BF16`. */
export function bitsPerElement(name: string): number | undefined {
  return BITS_BY_NAME.get(name);
}

/** Quern's dtype names are the format's in lower case: `BF16` is `bf16`. */
export function toDtype(name: string): string {
  return name.toLowerCase();
}

/** @returns undefined when safetensors cannot hold the dtype (GGML's block formats). */
export function fromDtype(dtype: string): string | undefined {
  const name = dtype.toUpperCase();
  return dtype === name.toLowerCase() && BITS_BY_NAME.has(name) ? name : undefined;
}
