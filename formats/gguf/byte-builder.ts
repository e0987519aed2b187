/** A header in the making: little-endian integers and length-prefixed strings, appended to a buffer that grows. */
export class ByteBuilder {
  #bytes = Buffer.alloc(64 * 1024);
  #length = 0;

  /** What has been appended: a view, valid until the next append. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  // Growing replaces the buffer, so it comes before the buffer is named.
  uint32(value: number): void {
    const at = this.#grow(4);
    this.#bytes.writeUInt32LE(value, at);
  }

  uint64(value: number | bigint): void {
    const at = this.#grow(8);
    this.#bytes.writeBigUInt64LE(BigInt(value), at);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  string(text: string): void {
    const length = Buffer.byteLength(text);
    this.uint64(length);
    const at = this.#grow(length);
    this.#bytes.write(text, at);
  }

  /** Makes room, and says where it begins. */
  #grow(numBytes: number): number {
    const start = this.#length;
    this.#length += numBytes;
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, start));
      this.#bytes = larger;
    }
    return start;
  }
}
