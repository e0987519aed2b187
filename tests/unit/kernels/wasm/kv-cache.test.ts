/** writeKv, copyBlocks and pagedAttention on the wasm backend, where conformance's random calls seldom go: bytes of a
 * page, values that are no numbers, contexts of many steps. Each KV dtype, each variant of the kernels. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelBackend } from '../../../../engine/kernels/kernel-backend.ts';
import { KV_DTYPES } from '../../../../engine/kernels/ops.ts';
import { ReferenceBackend } from '../../../../engine/kernels/reference/reference-backend.ts';
import { WasmBackend } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import { F16_TO_F32 } from '../../../../engine/tensor/float16.ts';
import { findBitDifference, findMismatch } from '../../../conformance/compare.ts';
import { type AttentionConfig, PagedSequences, type SequenceData } from '../../../conformance/paged-sequences.ts';
import { withWorkspace } from '../../../conformance/workspace.ts';
import { randomValues } from '../../../helpers/arbitraries-kernels.ts';

type KvDType = (typeof KV_DTYPES)[number];

const SPECIALS = [Infinity, -Infinity, Number.NaN, 1e5, -1e5, 65504, 65519, 65520, 6e-8, 1e-8, -0];

/** A sequence with `specials` strewn over its keys or over its values. */
function sequence(config: AttentionConfig, length: number, specialsIn?: 'k' | 'v'): SequenceData {
  const rows = (numHeads: number) => length * numHeads * config.headDim;
  const data = {
    length,
    q: randomValues(1, rows(config.numHeads), 3),
    k: randomValues(2, rows(config.numKvHeads), 2),
    v: randomValues(3, rows(config.numKvHeads)),
  };
  if (specialsIn !== undefined) {
    const values = data[specialsIn];
    SPECIALS.forEach((special, i) => {
      values[Math.floor(((i + 0.5) / SPECIALS.length) * values.length)] = special;
    });
  }
  return data;
}

/** The whole sequence in steps of at most `chunk` tokens. */
function attend(
  backend: KernelBackend,
  config: AttentionConfig,
  data: SequenceData,
  blockSize: number,
  chunk: number,
  stale = Number.NaN,
) {
  const numChunks = Math.ceil(data.length / chunk);
  const chunks = Array.from({ length: numChunks }, (_, i) => Math.min(chunk, data.length - i * chunk));
  return attendIn(backend, config, data, { blockSize, chunks, stale });
}

/** The whole sequence in steps of so many tokens. */
function attendIn(
  backend: KernelBackend,
  config: AttentionConfig,
  data: SequenceData,
  {
    blockSize,
    chunks,
    stale,
  }: { readonly blockSize: number; readonly chunks: readonly number[]; readonly stale: number },
) {
  return withWorkspace(backend, async (work) => {
    const paged = new PagedSequences(work, config, [data], { blockSize, seed: 5, stale });
    const outs: Float32Array[] = [];
    let from = 0;
    for (const chunk of chunks) {
      outs.push(...(await paged.step([{ sequence: 0, from, to: from + chunk }])));
      from += chunk;
    }
    return Float32Array.from(outs.flatMap((out) => [...out]));
  });
}

describe.each([{}, { numerics: 'portable' }, { revectorize: 'off' }] as const)('KV cache, options %j', (options) => {
  let backend: WasmBackend;
  let reference: ReferenceBackend;
  beforeAll(() => {
    backend = new WasmBackend(options);
    reference = new ReferenceBackend();
  });
  afterAll(async () => {
    await backend.close();
    await reference.close();
  });

  const gqa = { numHeads: 6, numKvHeads: 2 };

  it.each(KV_DTYPES)(
    '%s: over many steps, with and without window and soft cap, any chunks, any pages',
    async (kvDtype) => {
      for (const limits of [{}, { slidingWindow: 70, softCap: 5 }]) {
        const config = { ...gqa, headDim: 32, kvDtype, ...limits };
        const data = sequence(config, 210);
        const expected = await attend(reference, config, data, 16, 210);
        const actual = await attend(backend, config, data, 16, 210);
        expect(findMismatch(actual, expected, kvDtype === 'q8_0' ? 1e-3 : 2e-5)).toBeUndefined();
        for (const [blockSize, chunk, stale] of [
          [16, 1, Number.NaN],
          [16, 1, 65504],
          [32, 37, 65504],
          [5, 100, 65504],
        ] as const) {
          const again = await attend(backend, config, data, blockSize, chunk, stale);
          const how = `pages of ${blockSize} that held ${stale}, chunks of ${chunk}`;
          expect(findBitDifference(again, actual), how).toBeUndefined();
        }
      }
    },
  );

  it.each(KV_DTYPES)('%s: over several sections of keys, in any chunks, with any window', async (kvDtype) => {
    for (const slidingWindow of [undefined, 530]) {
      const config = { ...gqa, headDim: 32, kvDtype, slidingWindow };
      const data = sequence(config, 700);
      const expected = await attend(reference, config, data, 16, 700);
      const actual = await attend(backend, config, data, 16, 700);
      expect(findMismatch(actual, expected, kvDtype === 'q8_0' ? 1e-3 : 2e-5)).toBeUndefined();
      // Chunks of 1 and 13 rows are divided by sections, of 300 not.
      const start = actual.length - 26 * gqa.numHeads * config.headDim;
      for (const [chunks, stale] of [
        [[674, 13, 13], 65504],
        [[600, 74, ...Array<number>(26).fill(1)], 65504],
        [[600, 74, ...Array<number>(26).fill(1)], Number.NaN],
        [[300, 300, 74, 26], 65504],
      ] as const) {
        const again = await attendIn(backend, config, data, { blockSize: 16, chunks, stale });
        expect(findBitDifference(again.subarray(start), actual.subarray(start)), `chunks of ${chunks}`).toBeUndefined();
      }
    }
  });

  it.each(KV_DTYPES)('%s: infinities, NaN and what overflows f16 end where the reference has them', async (kvDtype) => {
    for (const specialsIn of ['k', 'v'] as const) {
      for (const [blockSize, chunk, stale] of [
        [4, 66, Number.NaN],
        [16, 66, Number.NaN],
        [16, 1, 1],
      ] as const) {
        const config = { numHeads: 2, numKvHeads: 1, headDim: 32, kvDtype, slidingWindow: 3 };
        const data = sequence(config, 66, specialsIn);
        const expected = await attend(reference, config, data, blockSize, 66);
        const actual = await attend(backend, config, data, blockSize, chunk, stale);
        // Relative to 1e5, which is among the values: here it matters which results are numbers.
        const kinds = (values: Float32Array) => [...values].map((x) => (Number.isFinite(x) ? 0 : x));
        expect(kinds(actual), `${specialsIn}, pages of ${blockSize}`).toEqual(kinds(expected));
        expect(findMismatch(actual, expected, kvDtype === 'q8_0' ? 1e-3 : 2e-5)).toBeUndefined();
      }
    }
  });

  it('gives NaN where every score is minus infinity, and passes such keys over where one is not', async () => {
    const config = { numHeads: 1, numKvHeads: 1, headDim: 16, kvDtype: 'f16' as const };
    const data = sequence(config, 130);
    data.q.fill(1);
    data.k.fill(-Infinity, 0, 100 * 16);
    const [actual, expected] = [
      await attend(backend, config, data, 16, 130),
      await attend(reference, config, data, 16, 130),
    ];
    expect(actual.subarray(0, 100 * 16).every(Number.isNaN)).toBe(true);
    expect(findMismatch(actual, expected, 2e-5)).toBeUndefined();
  });

  it('knows of an f16 that is not finite when it came as bytes', async () => {
    for (const [pattern, expected] of [
      [0x7c00, Number.POSITIVE_INFINITY],
      [0xfc00, Number.NEGATIVE_INFINITY],
      [0x7e01, Number.NaN],
      [0x7bff, 65504 / 16],
    ] as const) {
      const out = await withWorkspace(backend, async (work) => {
        const pages = [1, 1, 16, 16];
        const [keyCache, valueCache, out] = [
          work.zeros('f16', pages),
          work.zeros('f16', pages),
          work.output([1, 1, 16]),
        ];
        // Feature 5 of token 3: all keys are zeros, so every token weighs the same.
        backend.writeBytes(valueCache, 2 * (3 * 16 + 5), Uint8Array.of(pattern & 0xff, pattern >> 8));
        const lengths = { queryStartLoc: work.ints([2], [0, 1]), seqLens: work.ints([1], [16]) };
        const q = work.floats([1, 1, 16], randomValues(1, 16));
        work.run('pagedAttention', {
          q,
          keyCache,
          valueCache,
          blockTables: work.ints([1, 1], [0]),
          ...lengths,
          scale: 1,
          out,
        });
        return work.read(out);
      });
      expect(out[5]).toBe(expected);
    }
  });

  it('writes f16 and q8_0 rows as the reference does, byte for byte', async () => {
    for (const kvDtype of ['f16', 'q8_0'] as const) {
      const [rowBytes, numTokens, D] = [kvDtype === 'f16' ? 128 : 68, 48, 64];
      const k = randomValues(9, numTokens * D, 4);
      k.set([Infinity, -Infinity, 1e5, 65519, 65520, 6e-8, 2e-8, -0, 1e-40], 64);
      k.fill(0, 128, 192);
      k.fill(1e-42, 192, 256);
      k.set([0.5, 1.5, -0.5, -2.5, 127], 256);
      k.fill(0.25, 261, 288);
      const pages = async (of: KernelBackend, blockSize: number): Promise<Uint8Array[]> =>
        withWorkspace(of, async (work) => {
          const shape = [numTokens / blockSize, 1, blockSize, D];
          const caches = [work.zeros(kvDtype, shape), work.zeros(kvDtype, shape)] as const;
          const rows = work.floats([numTokens, 1, D], k);
          const slotMapping = work.ints(
            [numTokens],
            Array.from({ length: numTokens }, (_, i) => i),
          );
          work.run('writeKv', { k: rows, v: rows, keyCache: caches[0], valueCache: caches[1], slotMapping });
          const bytes = caches.map(() => new Uint8Array(numTokens * rowBytes));
          for (const [i, cache] of caches.entries()) await of.readBytes(cache, 0, bytes[i]!);
          return bytes;
        });
      const [expected] = await pages(reference, 1);
      expect(await pages(backend, 1)).toEqual([expected, expected]);
      const [keys, values] = await pages(backend, 16);
      expect(rowsOfKeys(kvDtype, keys!, D)).toEqual(expected);
      expect(rowsOfValues(kvDtype, values!, D)).toEqual(expected);
    }
  });

  it('sums up q8_0 levels of -128, which only a forged file holds, as the reference does', async () => {
    const [headDim, numRows, blockBytes] = [256, 9, 34];
    const shape = [4, 1, 5, headDim];
    const bytes = new Uint8Array((20 * headDim * blockBytes) / 32);
    for (let block = 0; block < bytes.length; block += blockBytes) {
      // A scale of 2^-7 and more, then the levels.
      bytes.set([block & 0xff, 0x20], block);
      bytes.fill(0x80, block + 2, block + blockBytes);
    }
    const attended = (of: KernelBackend) =>
      withWorkspace(of, async (work) => {
        const caches = [work.zeros('q8_0', shape), work.zeros('q8_0', shape)] as const;
        for (const cache of caches) of.writeBytes(cache, 0, bytes);
        const out = work.output([numRows, 1, headDim]);
        work.run('pagedAttention', {
          // All alike: each is rounded to the largest level.
          q: work.floats([numRows, 1, headDim], new Float32Array(numRows * headDim).fill(-0.7)),
          keyCache: caches[0],
          valueCache: caches[1],
          blockTables: work.ints([1, 4], [3, 1, 0, 2]),
          queryStartLoc: work.ints([2], [0, numRows]),
          seqLens: work.ints([1], [20]),
          scale: 0.01,
          out,
        });
        return work.read(out);
      });
    expect(findMismatch(await attended(backend), await attended(reference), 1e-3)).toBeUndefined();
  });

  it('reads each of the 65,536 f16 patterns of a value', async () => {
    const [numTokens, D] = [1024, 64];
    const stored = Uint16Array.from({ length: 0x10000 }, (_, i) => elementAt(i));
    const out = await withWorkspace(backend, async (work) => {
      const pages = [numTokens / 16, 1, 16, D];
      const [keyCache, valueCache, out] = [
        work.zeros('f16', pages),
        work.zeros('f16', pages),
        work.output([numTokens, 1, D]),
      ];
      backend.writeBytes(valueCache, 0, new Uint8Array(stored.buffer));
      const blockTables = work.ints(
        [1, numTokens / 16],
        Array.from({ length: numTokens / 16 }, (_, i) => i),
      );
      const lengths = { queryStartLoc: work.ints([2], [0, numTokens]), seqLens: work.ints([1], [numTokens]) };
      const q = work.floats([numTokens, 1, D], randomValues(1, numTokens * D));
      // With a window of 1 the only weight is 1 and the output the value itself.
      work.run('pagedAttention', { q, keyCache, valueCache, blockTables, ...lengths, scale: 1, slidingWindow: 1, out });
      return work.read(out);
    });
    expect(findMismatch(out, F16_TO_F32.slice(), 0)).toBeUndefined();
  });

  it('takes heads of any size that fits into its scratch memory, and leaves larger ones to the reference', async () => {
    for (const [headDim, blockSize] of [
      [1, 16],
      [17, 16],
      [200, 16],
      [33, 7],
      [1024, 16],
    ] as const) {
      const config = { numHeads: 7, numKvHeads: 1, headDim, kvDtype: 'f32' as KvDType };
      const data = sequence(config, 20);
      const [actual, expected] = await Promise.all(
        [backend, reference].map((of) => attend(of, config, data, blockSize, 20)),
      );
      expect(findMismatch(actual!, expected!, 2e-5), `${headDim}`).toBeUndefined();
      const cache = backend.allocate('f32', [1, 1, blockSize, headDim], 'kv');
      const rows = backend.allocate('f32', [1, 1, headDim], 'scratch');
      const [slotMapping] = [backend.allocate('i32', [1], 'scratch')];
      const args = { k: rows, v: rows, keyCache: cache, valueCache: cache, slotMapping };
      expect(backend.isNative('writeKv', args)).toBe(headDim < 1024);
      for (const tensor of [cache, rows, slotMapping]) backend.free(tensor);
    }
  });
});

it.each(KV_DTYPES)('KV cache, %s: revectorization changes no bit', async (kvDtype) => {
  const config = { numHeads: 10, numKvHeads: 2, headDim: 64, kvDtype, slidingWindow: 90 };
  const outs: Float32Array[] = [];
  for (const options of [{}, { revectorize: 'off' }] as const) {
    const backend = new WasmBackend(options);
    outs.push(await attend(backend, config, sequence(config, 150), 16, 150));
    await backend.close();
  }
  expect(findBitDifference(outs[0]!, outs[1]!)).toBeUndefined();
});

/** Key strips of 16 tokens (ops/kv-pages.ts) as rows of the reference. */
function rowsOfKeys(dtype: 'f16' | 'q8_0', strips: Uint8Array, headDim: number): Uint8Array {
  // The elements of a strip lie line by line: 16 of each, of 2 bytes (an f16, a scale or two levels).
  const widths =
    dtype === 'f16'
      ? Array(headDim).fill(2)
      : Array(headDim / 32)
          .fill([2, ...Array(16).fill(2)])
          .flat();
  return rowsOf(strips, widths);
}

/** Value strips likewise: 16 features of 16 tokens. */
function rowsOfValues(dtype: 'f16' | 'q8_0', strips: Uint8Array, headDim: number): Uint8Array {
  if (dtype === 'f16') return rowsOf(strips, Array(headDim / 16).fill(32));
  const rows = new Uint8Array(strips.length);
  strips.forEach((byte, at) => {
    const [block, inBlock] = [Math.floor(at / 544), at % 544];
    const [strip, blockOfRow] = [Math.floor(block / (headDim / 32)), block % (headDim / 32)];
    const start = (token: number) => (strip * 16 + token) * (headDim / 32) * 34 + blockOfRow * 34;
    // 16 scales, then features 0 to 15 of tokens 0 and 1, of tokens 2 and 3, of 8 and 9, ..., then features 16 to 31.
    const level = inBlock - 32;
    const pair = [0, 1, 4, 5, 2, 3, 6, 7][Math.floor((level % 256) / 32)]!;
    const token = inBlock < 32 ? inBlock >> 1 : 2 * pair + (level % 2);
    const place = inBlock < 32 ? inBlock % 2 : 2 + 16 * Math.floor(level / 256) + Math.floor((level % 32) / 2);
    rows[start(token) + place] = byte;
  });
  return rows;
}

/** @param widths  bytes that lie together of each token's row, in their order */
function rowsOf(strips: Uint8Array, widths: readonly number[]): Uint8Array {
  const rows = new Uint8Array(strips.length);
  const rowBytes = widths.reduce((sum, width) => sum + width, 0);
  for (let strip = 0; strip < strips.length / (16 * rowBytes); strip++) {
    let line = strip * 16 * rowBytes;
    let column = 0;
    for (const width of widths) {
      for (let token = 0; token < 16; token++) {
        const from = line + token * width;
        rows.set(strips.subarray(from, from + width), (strip * 16 + token) * rowBytes + column);
      }
      line += 16 * width;
      column += width;
    }
  }
  return rows;
}

/** The number of the element, in rows of 64, that lies at place `i` of value strips. */
function elementAt(i: number): number {
  const [strip, inStrip] = [Math.floor(i / 1024), i % 1024];
  const [tile, token, feature] = [Math.floor(inStrip / 256), Math.floor(inStrip / 16) % 16, inStrip % 16];
  return (strip * 16 + token) * 64 + tile * 16 + feature;
}
