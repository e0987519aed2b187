/** MessagePack of plain values only: maps, arrays, texts, bytes, numbers, booleans, nil.
 *
 * msgpackr reads more than that: extension types make dates, regular expressions, shared references and records whose
 * readers it compiles. A file from elsewhere has no use for them, so its bytes are walked first and refused unless every
 * value is of a plain type, lies inside the input, and is nested no deeper than `MAX_DEPTH`.
 *
 * Source  the MessagePack specification, "Formats" (github.com/msgpack/msgpack/blob/master/spec.md) */
import { Packr, Unpackr } from 'msgpackr/pack';

const MAX_DEPTH = 8;

/** Keeps objects what they are in the specification, maps, rather than msgpackr's records. */
const OPTIONS = { useRecords: false, variableMapSize: true, int64AsType: 'number' } as const;

export function packPlain(value: unknown): Uint8Array {
  return new Packr(OPTIONS).pack(value);
}

/** @throws Error with a message about the first thing that is wrong */
export function unpackPlain(bytes: Uint8Array): unknown {
  const end = endOfValue(bytes, 0, MAX_DEPTH);
  if (end !== bytes.length) throw new Error(`holds ${bytes.length - end} bytes after its only value`);
  return new Unpackr(OPTIONS).unpack(bytes);
}

/** Walks over the value at `start`; returns where the next one begins. */
function endOfValue(bytes: Uint8Array, start: number, depth: number): number {
  if (start >= bytes.length) throw new Error('ends in the middle of a value');
  if (depth === 0) throw new Error(`is nested more than ${MAX_DEPTH} deep`);
  const type = bytes[start]!;
  const { headBytes, bodyBytes, numValues } = describe(bytes, type, start + 1);
  let end = start + 1 + headBytes + bodyBytes;
  // Each value takes at least one byte, which bounds the loop by the input's length.
  for (let i = 0; i < numValues; i++) end = endOfValue(bytes, end, depth - 1);
  if (end > bytes.length) throw new Error('ends in the middle of a value');
  return end;
}

/** What follows a type byte: a length, raw bytes, values. */
interface Extent {
  readonly headBytes: number;
  readonly bodyBytes: number;
  readonly numValues: number;
}

function describe(bytes: Uint8Array, type: number, head: number): Extent {
  const raw = (bodyBytes: number): Extent => ({ headBytes: 0, bodyBytes, numValues: 0 });
  const nested = (numValues: number): Extent => ({ headBytes: 0, bodyBytes: 0, numValues });
  const sized = (headBytes: number): Extent => ({ headBytes, bodyBytes: uint(bytes, head, headBytes), numValues: 0 });
  const counted = (headBytes: number, perEntry: number): Extent => {
    return { headBytes, bodyBytes: 0, numValues: uint(bytes, head, headBytes) * perEntry };
  };
  if (type <= 0x7f || type >= 0xe0) return raw(0); // small integers
  if (type <= 0x8f) return nested((type & 0x0f) * 2); // small map
  if (type <= 0x9f) return nested(type & 0x0f); // small array
  if (type <= 0xbf) return raw(type & 0x1f); // short text
  switch (type) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return raw(0);
    case 0xc4: // bytes
    case 0xc5:
    case 0xc6:
      return sized(2 ** (type - 0xc4));
    case 0xca: // f32, f64
    case 0xcb:
      return raw(2 ** (type - 0xc8));
    case 0xcc: // unsigned integers of 1 to 8 bytes
    case 0xcd:
    case 0xce:
    case 0xcf:
      return raw(2 ** (type - 0xcc));
    case 0xd0: // signed ones
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return raw(2 ** (type - 0xd0));
    case 0xd9: // text
    case 0xda:
    case 0xdb:
      return sized(2 ** (type - 0xd9));
    case 0xdc: // array
    case 0xdd:
      return counted(2 ** (type - 0xdb), 1);
    case 0xde: // map
    case 0xdf:
      return counted(2 ** (type - 0xdd), 2);
    default:
      throw new Error(`holds a value of type 0x${type.toString(16)}, which is not a plain one`);
  }
}

/** A big-endian length of `numBytes` bytes. */
function uint(bytes: Uint8Array, start: number, numBytes: number): number {
  let value = 0;
  for (let i = 0; i < numBytes; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) throw new Error('ends in the middle of a length');
    value = value * 256 + byte;
  }
  return value;
}
