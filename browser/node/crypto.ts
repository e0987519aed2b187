/** The part of `node:crypto` that the engine uses: digests of models, and seeds. */
import { Bytes } from './buffer.ts';
import { Sha256 } from './sha256.ts';

/** Only SHA-256 is asked for. */
export function createHash(_algorithm: 'sha256'): { update(data: string | Uint8Array): unknown; digest(): Bytes } {
  const hash = new Sha256();
  return {
    update(data) {
      hash.update(data);
      return this;
    },
    digest: (encoding?: 'hex') => {
      const bytes = new Bytes(hash.digest());
      return encoding === undefined ? bytes : (bytes.toString(encoding) as unknown as Bytes);
    },
  };
}

export function hash(
  _algorithm: 'sha256',
  data: string | Uint8Array,
  encoding: 'hex' | 'buffer' = 'hex',
): Bytes | string {
  const bytes = new Bytes(new Sha256().update(data).digest());
  return encoding === 'hex' ? bytes.toString('hex') : bytes;
}

/** A whole number from 0 to below `limit`, of at most 48 bits. */
export function randomInt(limit: number): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  return ((high & 0xffff) * 2 ** 32 + low) % limit;
}

export const randomUUID = (): string => crypto.randomUUID();
