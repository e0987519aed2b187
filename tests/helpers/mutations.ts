/** Damage to a file, as disks, networks and attackers do it. */
import fc from 'fast-check';

/** Changes bytes in place where it can; gives the damaged file. */
export type Mutation = (bytes: Buffer) => Buffer;

/** Numbers that overflow something: signs, 32 and 53 bits, sums of two. */
const HUGE = [
  0n,
  1n,
  0x7fff_ffffn,
  0xffff_ffffn,
  0x1_0000_0000n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 61n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 32n,
  2n ** 64n - 1n,
];

/** A place in the file; most lie in the header, which is all that a reader believes. */
function place(headerBytes: number): fc.Arbitrary<(length: number) => number> {
  const within = (limit: number) => fc.nat().map((n) => (length: number) => n % Math.max(1, Math.min(limit, length)));
  return fc.oneof({ weight: 5, arbitrary: within(headerBytes) }, { weight: 1, arbitrary: within(Infinity) });
}

export function mutations(headerBytes: number): fc.Arbitrary<readonly Mutation[]> {
  const at = place(headerBytes);
  const length = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 4096 }));
  const one = fc.oneof(
    fc.tuple(at, fc.nat(7)).map(
      ([where, bit]): Mutation =>
        (bytes) => {
          bytes[where(bytes.length)]! ^= 1 << bit;
          return bytes;
        },
    ),
    fc.tuple(at, fc.nat(255)).map(
      ([where, value]): Mutation =>
        (bytes) => {
          bytes[where(bytes.length)] = value;
          return bytes;
        },
    ),
    fc.tuple(at, fc.constantFrom(...HUGE)).map(
      ([where, value]): Mutation =>
        (bytes) => {
          const field = Buffer.alloc(8);
          field.writeBigUInt64LE(value);
          field.copy(bytes, where(bytes.length));
          return bytes;
        },
    ),
    // A count that is wrong by a little is believed for longest.
    fc.tuple(at, fc.integer({ min: -3, max: 300 })).map(
      ([where, by]): Mutation =>
        (bytes) => {
          const position = where(bytes.length);
          if (position + 4 <= bytes.length) bytes.writeUInt32LE((bytes.readUInt32LE(position) + by) >>> 0, position);
          return bytes;
        },
    ),
    at.map(
      (where): Mutation =>
        (bytes) =>
          bytes.subarray(0, where(bytes.length)),
    ),
    fc.tuple(at, length).map(
      ([where, count]): Mutation =>
        (bytes) => {
          const position = where(bytes.length);
          return Buffer.concat([bytes.subarray(0, position), bytes.subarray(position + count)]);
        },
    ),
    fc.tuple(at, at, length).map(
      ([from, to, count]): Mutation =>
        (bytes) => {
          const piece = Buffer.from(bytes.subarray(from(bytes.length)).subarray(0, count));
          const position = to(bytes.length);
          return Buffer.concat([bytes.subarray(0, position), piece, bytes.subarray(position)]);
        },
    ),
    fc.tuple(at, at, length).map(
      ([from, to, count]): Mutation =>
        (bytes) => {
          Buffer.from(bytes.subarray(from(bytes.length)).subarray(0, count)).copy(bytes, to(bytes.length));
          return bytes;
        },
    ),
    fc.tuple(at, fc.uint8Array({ minLength: 1, maxLength: 32 })).map(
      ([where, noise]): Mutation =>
        (bytes) => {
          bytes.set(noise.subarray(0, Math.max(0, bytes.length - where(bytes.length))), where(bytes.length));
          return bytes;
        },
    ),
  );
  return fc.array(one, { minLength: 1, maxLength: 4 });
}
