import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signedLeb128, unsignedLeb128 } from '../../../../engine/kernels/wasm/emitter/leb128.ts';

const bytesOf = (code: string): number[] => [...Buffer.from(code, 'latin1')];

const decode = (code: string, signed: boolean): number => {
  const bytes = bytesOf(code);
  let value = 0n;
  bytes.forEach((byte, i) => {
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
  });
  const isNegative = signed && (bytes.at(-1)! & 0x40) !== 0;
  return Number(isNegative ? value - (1n << BigInt(7 * bytes.length)) : value);
};

describe('LEB128', () => {
  it('writes the examples of the DWARF standard', () => {
    expect(bytesOf(unsignedLeb128(2))).toEqual([2]);
    expect(bytesOf(unsignedLeb128(127))).toEqual([0x7f]);
    expect(bytesOf(unsignedLeb128(128))).toEqual([0x80, 1]);
    expect(bytesOf(unsignedLeb128(12857))).toEqual([0x80 + 57, 100]);
    expect(bytesOf(signedLeb128(-2))).toEqual([0x7e]);
    expect(bytesOf(signedLeb128(127))).toEqual([0x80 + 127, 0]);
    expect(bytesOf(signedLeb128(-127))).toEqual([0x80 + 1, 0x7f]);
    expect(bytesOf(signedLeb128(-129))).toEqual([0x80 + 127, 0x7e]);
  });

  it('can be read back, and takes no byte too many', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        expect(decode(signedLeb128(value), true)).toBe(value);
        expect(decode(unsignedLeb128(value), false)).toBe(value >>> 0);
        expect(unsignedLeb128(value).length).toBe(Math.max(1, Math.ceil((32 - Math.clz32(value)) / 7)));
      }),
    );
  });
});
