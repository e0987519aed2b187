/** The part of Node's `Buffer` that the engine uses when it reads a model and generates. */

export type Encoding = 'utf8' | 'latin1' | 'utf16le' | 'hex';

/** Bytes with Node's readers. `subarray` gives one of the same kind. */
export class Bytes extends Uint8Array {
  readUInt8(offset = 0): number {
    return this.#view().getUint8(offset);
  }

  readUInt32LE(offset = 0): number {
    return this.#view().getUint32(offset, true);
  }

  readBigUInt64LE(offset = 0): bigint {
    return this.#view().getBigUint64(offset, true);
  }

  override toString(encoding: Encoding = 'utf8', start = 0, end = this.length): string {
    const bytes = this.subarray(start, end);
    switch (encoding) {
      case 'utf8':
        return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
      case 'latin1':
        return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
      case 'utf16le':
        return new TextDecoder('utf-16le', { ignoreBOM: true }).decode(bytes);
      case 'hex':
        return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
      default:
        return encoding satisfies never;
    }
  }

  #view(): DataView {
    return new DataView(this.buffer, this.byteOffset, this.byteLength);
  }
}

/** What `Buffer` is as a global. */
export const BytesFactory = {
  prototype: Bytes.prototype,
  alloc: (length: number): Bytes => new Bytes(length),
  allocUnsafe: (length: number): Bytes => new Bytes(length),
  allocUnsafeSlow: (length: number): Bytes => new Bytes(length),

  /** Text becomes new bytes, a buffer is viewed, an array copied. */
  from(source: string | ArrayBuffer | Uint8Array, second?: Encoding | number, length?: number): Bytes {
    if (typeof source === 'string') return fromText(source, (second as Encoding | undefined) ?? 'utf8');
    if (source instanceof ArrayBuffer) return new Bytes(source, (second as number | undefined) ?? 0, length);
    return new Bytes(source);
  },

  byteLength: (text: string): number => new TextEncoder().encode(text).length,

  concat(parts: readonly Uint8Array[]): Bytes {
    const result = new Bytes(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      result.set(part, at);
      at += part.length;
    }
    return result;
  },
};

export { BytesFactory as Buffer };

export function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function fromText(text: string, encoding: Encoding): Bytes {
  switch (encoding) {
    case 'utf8':
      return new Bytes(new TextEncoder().encode(text));
    case 'latin1':
      return new Bytes(Array.from({ length: text.length }, (_, i) => text.charCodeAt(i)));
    case 'utf16le': {
      const units = Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
      return new Bytes(units.buffer);
    }
    case 'hex':
      return new Bytes(
        Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)),
      );
    default:
      return encoding satisfies never;
  }
}
