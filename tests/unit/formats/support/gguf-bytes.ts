/** GGUF files put together byte by byte from the specification, with no help from the code under test, so that they can be
 * wrong wherever a test wants. */

export const u8 = (value: number) => Buffer.from([value]);

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
}

export function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

export const str = (text: string | Buffer) => Buffer.concat([u64(Buffer.from(text).length), Buffer.from(text)]);

/** A metadata entry: key, number of the value type, bytes of the value. */
export const entry = (key: string | Buffer, type: number, ...value: Buffer[]) =>
  Buffer.concat([str(key), u32(type), ...value]);

/** A tensor info. Dimensions in the file's order, innermost first. */
export const info = (
  name: string | Buffer,
  dims: readonly (number | bigint)[],
  type: number,
  offset: number | bigint,
) => Buffer.concat([str(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset)]);

export interface FileParts {
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: number | bigint;
  readonly entryCount?: number | bigint;
  readonly entries?: readonly Buffer[];
  readonly infos?: readonly Buffer[];
  readonly data?: Buffer;
  /** Default 32. */
  readonly alignment?: number;
}

export function ggufBytes(parts: FileParts): Buffer {
  const { entries = [], infos = [], data = Buffer.alloc(0), alignment = 32 } = parts;
  const header = Buffer.concat([
    Buffer.from(parts.magic ?? 'GGUF', 'latin1'),
    u32(parts.version ?? 3),
    u64(parts.tensorCount ?? infos.length),
    u64(parts.entryCount ?? entries.length),
    ...entries,
    ...infos,
  ]);
  const padding = Buffer.alloc((alignment - (header.length % alignment)) % alignment);
  return Buffer.concat([header, padding, data]);
}
