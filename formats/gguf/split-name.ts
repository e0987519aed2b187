/** Names of the files that a split GGUF model consists of: `NAME-00001-of-00003.gguf`, counted from 1.
 *
 * Source: "Shard" in the GGUF specification's naming convention. */

export interface SplitName {
  /** All before `-00001-of-00003.gguf`, with the folder. */
  readonly prefix: string;
  /** From 0, as `split.no` counts. */
  readonly index: number;
  readonly count: number;
}

const PATTERN = /^(?<prefix>.*)-(?<number>\d{5})-of-(?<count>\d{5})\.gguf$/s;

/** @returns undefined for a name that is not a shard's. */
export function parseSplitName(path: string): SplitName | undefined {
  const groups = PATTERN.exec(path)?.groups;
  if (groups === undefined) return undefined;
  const index = Number(groups.number) - 1;
  const count = Number(groups.count);
  return index >= 0 && index < count ? { prefix: groups.prefix!, index, count } : undefined;
}

export function formatSplitName({ prefix, index, count }: SplitName): string {
  const digits = (value: number) => String(value).padStart(5, '0');
  return `${prefix}-${digits(index + 1)}-of-${digits(count)}.gguf`;
}
