/** What stands in for Node in the page, against Node itself. */
import { createHash, hash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { createHistogram } from 'node:perf_hooks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as pageBuffer from '../../../browser/node/buffer.ts';
import * as pageCrypto from '../../../browser/node/crypto.ts';
import * as pagePath from '../../../browser/node/path.ts';
import * as pageHooks from '../../../browser/node/perf-hooks.ts';

const bytes = fc.uint8Array({ maxLength: 300 });

describe('crypto', () => {
  it('computes SHA-256 of data in any pieces', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 5 }), (pieces) => {
        const [expected, actual] = [createHash('sha256'), pageCrypto.createHash('sha256')];
        for (const piece of pieces) {
          expected.update(piece);
          actual.update(piece);
        }
        expect([...actual.digest()]).toEqual([...expected.digest()]);
      }),
    );
  });

  it('computes it at once too', () => {
    expect(pageCrypto.hash('sha256', 'Grüße', 'hex')).toBe(hash('sha256', 'Grüße', 'hex'));
  });

  it('draws whole numbers below a limit', () => {
    const drawn = Array.from({ length: 100 }, () => pageCrypto.randomInt(2 ** 48 - 1));
    expect(new Set(drawn).size).toBeGreaterThan(90);
    for (const value of drawn) expect(value >= 0 && value < 2 ** 48 && Number.isInteger(value)).toBe(true);
  });
});

describe('Buffer', () => {
  const encodings = ['utf8', 'latin1', 'utf16le', 'hex'] as const;

  it('reads text in every encoding', () => {
    fc.assert(
      fc.property(bytes, fc.constantFrom(...encodings), fc.nat(20), (data, encoding, start) => {
        // Half a UTF-16 unit at the end: Node drops it, the browser writes U+FFFD.
        const end = encoding === 'utf16le' ? data.length - ((data.length - start) % 2) : data.length;
        const expected = Buffer.from(data).toString(encoding, start, Math.max(start, end));
        const actual = pageBuffer.Buffer.from(data).toString(encoding, start, Math.max(start, end));
        if (encoding === 'utf16le' && !expected.isWellFormed()) return;
        expect(actual).toBe(expected);
      }),
    );
  });

  it('writes text in every encoding', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom(...encodings), (text, encoding) => {
        const source = encoding === 'hex' ? Buffer.from(text).toString('hex') : text;
        expect([...pageBuffer.Buffer.from(source, encoding)]).toEqual([...Buffer.from(source, encoding)]);
      }),
    );
  });

  it('reads numbers, views memory, joins, and keeps its kind in parts', () => {
    const source = Uint8Array.from({ length: 24 }, (_, i) => 37 * i);
    const [expected, actual] = [Buffer.from(source.buffer, 4, 16), pageBuffer.Buffer.from(source.buffer, 4, 16)];
    expect(actual.readUInt8(3)).toBe(expected.readUInt8(3));
    expect(actual.readUInt32LE(5)).toBe(expected.readUInt32LE(5));
    expect(actual.readBigUInt64LE(6)).toBe(expected.readBigUInt64LE(6));
    expect((actual.subarray(2, 6) as typeof actual).readUInt32LE()).toBe(expected.subarray(2, 6).readUInt32LE());
    expect([...pageBuffer.Buffer.concat([actual, source])]).toEqual([...Buffer.concat([expected, source])]);
    expect(pageBuffer.Buffer.byteLength('Grüße')).toBe(Buffer.byteLength('Grüße'));
  });

  it('knows valid UTF-8', () => {
    expect(pageBuffer.isUtf8(Buffer.from('Grüße'))).toBe(true);
    expect(pageBuffer.isUtf8(Uint8Array.of(0xc3, 0x28))).toBe(false);
  });
});

it('paths are taken apart and put together as in Node', () => {
  for (const path of ['/models/story.gguf', '/a', '/models/x/y']) {
    expect([pagePath.dirname(path), pagePath.basename(path)]).toEqual([dirname(path), basename(path)]);
    expect(pagePath.join(path, 'config.json')).toBe(join(path, 'config.json'));
  }
});

it('histograms count, and give mean, largest and percentiles to three digits', () => {
  const [expected, actual] = [createHistogram(), pageHooks.createHistogram()];
  for (let i = 1; i <= 500; i++) {
    expected.record(i * 3);
    actual.record(i * 3);
  }
  expect([actual.count, actual.max]).toEqual([expected.count, expected.max]);
  expect(actual.mean / expected.mean).toBeCloseTo(1, 2);
  for (const percent of [50, 90, 99]) {
    expect(actual.percentile(percent) / expected.percentile(percent)).toBeCloseTo(1, 2);
  }
});
