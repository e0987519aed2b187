/** How tensor data is aligned in a GGUF file: `general.alignment`, which reader and writer must agree on. */
import type { GgufValue } from './gguf-value.ts';

export const DEFAULT_ALIGNMENT = 32;
const MIN_ALIGNMENT = 8;
/** Keeps the padding before the data small beside any real file. Files in the wild use 32, some a memory page. */
const MAX_ALIGNMENT = 2 ** 24;

export const ALIGNMENT_RANGE = `a uint32 power of two from ${MIN_ALIGNMENT} to ${MAX_ALIGNMENT}`;

/** Whether data may be aligned to `alignment` bytes. The specification wants a multiple of 8; ggml a power of two. */
export function isAlignment(alignment: number): boolean {
  return alignment >= MIN_ALIGNMENT && alignment <= MAX_ALIGNMENT && Number.isInteger(Math.log2(alignment));
}

/** What the metadata say, 32 when they say nothing, undefined when they say what cannot be. */
export function alignmentOf(stored: GgufValue | undefined): number | undefined {
  if (stored === undefined) return DEFAULT_ALIGNMENT;
  const alignment = Number(stored.value);
  return stored.type.startsWith('uint') && isAlignment(alignment) ? alignment : undefined;
}
