import { getFloat16, f16round as ponyfillF16Round } from '@petamoriken/float16';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeBf16,
  decodeF16,
  encodeBf16,
  encodeF16,
  encodeF16Native,
  encodeF16Ponyfill,
  F16_TO_F32,
  f16Pattern,
  f32ToF16,
  readF16,
  roundToF16,
  writeF16,
} from '../../../engine/tensor/float16.ts';

const hasNative = typeof Float16Array === 'function';
const note = hasNative ? '' : ' [skipped: this runtime has no Float16Array]';
const ALL = Array.from({ length: 0x10000 }, (_, bits) => bits);
const isF16Nan = (bits: number) => (bits & 0x7fff) > 0x7c00;
const isBf16Nan = (bits: number) => (bits & 0x7fff) > 0x7f80;

function toBf16(values: Float32Array): Uint16Array {
  const patterns = new Uint16Array(values.length);
  encodeBf16(values, new Uint8Array(patterns.buffer), 0);
  return patterns;
}

describe('f16', () => {
  it('decodes all 65,536 patterns as the ponyfill does', () => {
    const view = new DataView(new ArrayBuffer(2));
    for (const bits of ALL) {
      view.setUint16(0, bits);
      const expected = getFloat16(view, 0);
      if (!Object.is(F16_TO_F32[bits]!, expected)) expect(F16_TO_F32[bits]!, `pattern ${bits}`).toBe(expected);
    }
  });

  it.skipIf(!hasNative)(`decodes all 65,536 patterns as the runtime does${note}`, () => {
    const native = new Float32Array(new Float16Array(Uint16Array.from(ALL).buffer));
    expect(F16_TO_F32).toEqual(native);
    expect(Object.is(F16_TO_F32[0x8000], -0)).toBe(true);
  });

  it('encodes every decoded pattern back to itself, by runtime and by ponyfill', () => {
    for (const bits of ALL) {
      const expected = isF16Nan(bits) ? 0x7e00 : bits;
      if (f32ToF16(F16_TO_F32[bits]!) !== expected) expect(f32ToF16(F16_TO_F32[bits]!)).toBe(expected);
      const byPonyfill = f16Pattern(ponyfillF16Round(F16_TO_F32[bits]!));
      if (byPonyfill !== expected) expect(byPonyfill).toBe(expected);
    }
  });

  it('rounds halfway to even and everything else to the nearest, between any two neighbours', () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      const below = F16_TO_F32[bits]!;
      const above = bits + 1 === 0x7c00 ? 65536 : F16_TO_F32[bits + 1]!; // as if the exponent went on
      const halfway = (below + above) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const got = [f32ToF16(halfway), f32ToF16(halfway * (1 - 2 ** -24)), f32ToF16(halfway * (1 + 2 ** -23))];
      const negated = f32ToF16(-halfway);
      if (got.join() !== [even, bits, bits + 1].join() || negated !== (even | 0x8000)) {
        expect([...got, negated], `above pattern ${bits}`).toEqual([even, bits, bits + 1, even | 0x8000]);
      }
    }
  });

  it('rounds alike by the runtime and by the ponyfill', () => {
    fc.assert(
      fc.property(fc.oneof(fc.float(), fc.double(), fc.float({ min: -70000, max: 70000 })), (value) => {
        expect(ponyfillF16Round(value)).toBe(roundToF16(value));
      }),
    );
  });

  it.each([
    ['chosen', encodeF16],
    ['ponyfill', encodeF16Ponyfill],
    ...(hasNative ? [['native', encodeF16Native] as const] : []),
  ] as const)('encodes arrays as single values (%s)', (_, encode) => {
    fc.assert(
      fc.property(fc.float32Array({ noNaN: true }), fc.nat(3), (values, offset) => {
        const bytes = new Uint8Array(values.length * 2 + 4);
        const expected = new Uint8Array(values.length * 2 + 4);
        encode(values, bytes, offset);
        values.forEach((value, i) => {
          writeF16(expected, offset + 2 * i, value);
        });
        expect(bytes).toEqual(expected);
      }),
    );
  });

  it('keeps a NaN a NaN in arrays', () => {
    for (const encode of hasNative ? [encodeF16Native, encodeF16Ponyfill] : [encodeF16Ponyfill]) {
      const bytes = new Uint8Array(4);
      encode(Float32Array.of(Number.NaN, 1), bytes, 0);
      expect(isF16Nan(bytes[0]! | (bytes[1]! << 8))).toBe(true);
      expect([readF16(bytes, 0), readF16(bytes, 2)]).toEqual([Number.NaN, 1]);
    }
  });

  it('decodes arrays as single values, at any offset', () => {
    const bytes = Uint8Array.from({ length: 201 }, (_, i) => i * 89);
    for (const offset of [0, 1]) {
      const values = new Float32Array(100);
      decodeF16(bytes, offset, values);
      values.forEach((value, i) => {
        expect(value).toBe(readF16(bytes, offset + 2 * i));
      });
    }
  });
});

describe('bf16', () => {
  it('decodes all 65,536 patterns to the upper half of an f32', () => {
    const bytes = new Uint8Array(Uint16Array.from(ALL).buffer);
    const values = new Float32Array(0x10000);
    decodeBf16(bytes, 0, values);
    const bits = new Uint32Array(values.buffer);
    expect(bits).toEqual(Uint32Array.from(ALL, (pattern) => pattern * 0x10000));
  });

  it('encodes every decoded pattern back to itself; a NaN is quieted', () => {
    const values = new Float32Array(0x10000);
    const bytes = new Uint8Array(0x20000);
    decodeBf16(new Uint8Array(Uint16Array.from(ALL).buffer), 0, values);
    encodeBf16(values, bytes, 0);
    expect(new Uint16Array(bytes.buffer)).toEqual(
      Uint16Array.from(ALL, (bits) => (isBf16Nan(bits) ? bits | 0x40 : bits)),
    );
  });

  it('rounds halfway to even and everything else to the nearest, between any two neighbours', () => {
    const bits = new Uint32Array(3);
    const values = new Float32Array(bits.buffer);
    for (let pattern = 0; pattern < 0x7f80; pattern++) {
      bits.set([pattern * 0x10000 + 0x7fff, pattern * 0x10000 + 0x8000, pattern * 0x10000 + 0x8001]);
      const got = [...toBf16(values)];
      const expected = [pattern, pattern % 2 === 0 ? pattern : pattern + 1, pattern + 1];
      if (got.join() !== expected.join()) expect(got, `above pattern ${pattern}`).toEqual(expected);
    }
  });

  it('never makes an infinity of a NaN whose payload lies in the lower half', () => {
    const values = new Float32Array(Uint32Array.of(0x7f800001, 0xff80ffff).buffer);
    const bytes = new Uint8Array(4);
    encodeBf16(values, bytes, 0);
    expect([...bytes]).toEqual([0xc0, 0x7f, 0xc0, 0xff]);
  });

  it('encodes and decodes at any offset', () => {
    fc.assert(
      fc.property(fc.float32Array({ noNaN: true }), fc.nat(3), (values, offset) => {
        const bytes = new Uint8Array(values.length * 2 + 4);
        const back = new Float32Array(values.length + 1).subarray(1);
        encodeBf16(values, bytes, offset);
        decodeBf16(bytes, offset, back);
        const upperHalves = Uint32Array.from(toBf16(values), (pattern) => pattern * 0x10000);
        expect(back).toEqual(new Float32Array(upperHalves.buffer));
      }),
    );
  });
});
