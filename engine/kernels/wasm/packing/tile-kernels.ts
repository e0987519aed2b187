/** The tile kernels of a weight format (generators/matmul-tile.ts). */
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import type { Features } from '../generators/arithmetic.ts';
import { matmulTile, type TileFormat, unpackRecords } from '../generators/matmul-tile.ts';
import { TILE_TOKENS } from './activation-layout.ts';

/** Every tile of 1 to 4 tokens, by one group of weight rows and by two where the format has such kernels; and, where
 * weights are unpacked for many tokens, what unpacks them and the full tile that reads them. */
export function tileKernels(format: TileFormat, features: Features): FunctionBuilder[] {
  const counts = Array.from({ length: TILE_TOKENS }, (_, i) => i + 1);
  const packed = counts.flatMap((tokens) =>
    format.groups.map((groups) => matmulTile(format, { tokens, groups }, features)),
  );
  if (format.unpacking === undefined) return packed;
  const groups = features.isPaired === false ? 1 : format.unpacking.groups;
  const full = matmulTile(format, { tokens: TILE_TOKENS, groups, isUnpacked: true }, features);
  return [...packed, unpackRecords(format, features), full];
}
