/** Which arguments an op writes to; the rest is read only. */
import type { OpName } from '../ops.ts';

/** Of ops that have no `out`. */
const WRITTEN: { readonly [Name in OpName]?: readonly string[] } = {
  rope: ['x'],
  writeKv: ['keyCache', 'valueCache'],
  copyBlocks: ['keyCache', 'valueCache'],
};

const OUT: readonly string[] = ['out'];

export const writtenArgs = (op: OpName): readonly string[] => WRITTEN[op] ?? OUT;
