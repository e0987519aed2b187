import { createHash } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { FileAccessError, InvalidArgumentError } from '../../../engine/errors.ts';
import { saltTag } from '../../../engine/kvcache/salt-tag.ts';
import { unpackPlain } from '../../../engine/prompt-cache/plain-msgpack.ts';
import { restorePromptCache } from '../../../engine/prompt-cache/restore-prompt-cache.ts';
import { savePromptCache } from '../../../engine/prompt-cache/save-prompt-cache.ts';
import { Rng } from '../../../engine/util/rng.ts';
import { FileRangeReader } from '../../../formats/file-range-reader.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';
import { TinyCache } from './tiny-cache.ts';

const folder = useTemporaryFolder();

/** Few different tokens, so that prefixes meet. */
const requestArbitrary = fc.record({
  tokens: fc.array(fc.nat(2), { minLength: 1, maxLength: 12 }),
  salt: fc.constantFrom('', '', 'tenant'),
});

const ONE_TO = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe('a prompt cache saved and restored', () => {
  it('gives back every block with its own bytes, and none that was not there', async () => {
    const path = folder.at('round-trip');
    const cases = fc.array(requestArbitrary, { maxLength: 12 });
    const sizes = fc.tuple(fc.integer({ min: 3, max: 40 }), fc.integer({ min: 2, max: 40 }));
    await fc.assert(
      fc.asyncProperty(cases, sizes, async (requests, [numBlocks, numBlocksAfter]) => {
        const before = new TinyCache({ numBlocks });
        for (const { tokens, salt } of requests) before.request(tokens, salt);
        const saved = await savePromptCache(before.host, path);
        expect(saved.numBytes).toBe((await stat(path)).size);
        expect(saved.numBlocks).toBe(before.paths().length);

        const after = new TinyCache({ numBlocks: numBlocksAfter });
        const restored = await restorePromptCache(after.host, path);
        const numBlocksRestored = Math.min(saved.numBlocks, numBlocksAfter - 1);
        expect(restored).toEqual({
          numBlocks: numBlocksRestored,
          numTokens: numBlocksRestored * 2,
          numBlocksInFile: saved.numBlocks,
        });
        // What is worth most comes first, and stays longest.
        expect(after.paths()).toEqual(before.paths().slice(0, numBlocksRestored));
        expect(after.manager.stats()).toMatchObject({ used: 0, cached: numBlocksRestored });
        for (const { tokens, salt } of requests) {
          const found = after.numFindable(tokens, salt);
          expect(found).toBeLessThanOrEqual(before.numFindable(tokens, salt));
          if (numBlocksRestored === saved.numBlocks) expect(found).toBe(before.numFindable(tokens, salt));
        }
        for (const { tokens, salt } of requests) after.request(tokens, salt);
      }),
    );
  });

  it('keeps other salts apart, and does not give the salt away', async () => {
    const cache = new TinyCache({ numBlocks: 20 });
    const salts = ['', 'correct horse battery', '\ud800', '\ud801'];
    for (const salt of salts) cache.request([1, 2, 3], salt);
    const path = folder.at('salts');
    await savePromptCache(cache.host, path);
    const bytes = await readFile(path);
    for (const encoding of ['utf8', 'utf16le'] as const) expect(bytes.includes('correct', 0, encoding)).toBe(false);

    const after = new TinyCache({ numBlocks: 20 });
    expect((await restorePromptCache(after.host, path)).numBlocks).toBe(4);
    for (const salt of salts) expect(after.numFindable([1, 2, 3], salt)).toBe(1);
    for (const salt of ['correct horse', '\ufffd']) expect(after.numFindable([1, 2, 3], salt)).toBe(0);
  });

  it('is never larger than maxBytes, and holds what was used last', async () => {
    const cache = new TinyCache({ numBlocks: 30 });
    cache.request([1, 2, 3, 4, 5], 'tenant');
    cache.request([6, 7, 8, 9, 0]);
    const path = folder.at('budget');
    const { numBytes: least } = await savePromptCache(new TinyCache({ numBlocks: 30 }).host, path);
    const { numBytes: whole } = await savePromptCache(cache.host, path);
    const counts = new Set<number>();
    // What a few MessagePack heads take is not foreseen to the byte.
    for (let maxBytes = least + 30; maxBytes < whole + 50; maxBytes += 10) {
      const { numBlocks, numBytes } = await savePromptCache(cache.host, path, { maxBytes });
      expect(numBytes).toBeLessThanOrEqual(maxBytes);
      counts.add(numBlocks);
      const after = new TinyCache({ numBlocks: 30 });
      expect((await restorePromptCache(after.host, path)).numBlocks).toBe(numBlocks);
      expect(after.paths()).toEqual(['6,7', '6,7|8,9', '1,2', '1,2|3,4'].slice(0, numBlocks));
    }
    expect([...counts]).toEqual([0, 1, 2, 3, 4]);
    for (const maxBytes of [0, 100, -1, 1.5, Number.NaN]) {
      await expect(savePromptCache(cache.host, path, { maxBytes })).rejects.toThrow(/maxBytes/);
    }
  });

  it('holds chosen prefixes only, as far as they are cached', async () => {
    const cache = new TinyCache({ numBlocks: 30 });
    cache.request([1, 2, 3, 4, 5, 6, 7]);
    cache.request([1, 2, 9, 9, 9], 'tenant');
    const path = folder.at('chosen');
    const prefixes = [{ tokenIds: [1, 2, 3, 4, 5] }, { tokenIds: [1, 2, 3, 4, 7, 7] }, { tokenIds: [8, 8] }];
    expect(await savePromptCache(cache.host, path, { prefixes })).toMatchObject({ numBlocks: 2, numTokens: 4 });
    const tenant = [{ tokenIds: [1, 2, 9, 9], cacheSalt: 'tenant' }];
    expect((await savePromptCache(cache.host, path, { prefixes: tenant })).numBlocks).toBe(2);
    const after = new TinyCache({ numBlocks: 30 });
    await restorePromptCache(after.host, path);
    expect(after.numFindable([1, 2, 9, 9], 'tenant')).toBe(2);
    expect(after.numFindable([1, 2, 9, 9])).toBe(0);
  });

  it('takes no place from what the engine has computed itself', async () => {
    const cache = new TinyCache({ numBlocks: 9 });
    cache.request(ONE_TO(12));
    const path = folder.at('place');
    await savePromptCache(cache.host, path);

    const after = new TinyCache({ numBlocks: 9 });
    after.request([50, 51, 52, 53]);
    const held = after.request([60, 61, 62, 63, 64], '', { hold: true })!;
    // 8 blocks: 2 cached, 3 in use, so 3 are left for the file's 6.
    expect(await restorePromptCache(after.host, path)).toMatchObject({ numBlocks: 3, numBlocksInFile: 6 });
    expect(after.paths()).toEqual(['60,61', '60,61|62,63', '50,51', '50,51|52,53', '1,2', '1,2|3,4', '1,2|3,4|5,6']);
    // Without room nothing is read.
    const reads = vi.spyOn(FileRangeReader.prototype, 'read');
    expect(await restorePromptCache(after.host, path)).toMatchObject({ numBlocks: 0, numBlocksInFile: 6 });
    expect(reads.mock.calls.map(([, , field]) => field)).not.toContain('KV blocks');
    reads.mockRestore();
    // Memory is needed: the restored ones go first, the last of the chain before the first.
    after.request([70, 71, 72]);
    expect(after.paths()).toContain('50,51|52,53');
    expect(after.numFindable(ONE_TO(12))).toBe(1);
    after.manager.free(held.id);
  });

  it('brings nothing twice', async () => {
    const cache = new TinyCache({ numBlocks: 30 });
    cache.request(ONE_TO(8));
    const path = folder.at('twice');
    await savePromptCache(cache.host, path);
    const after = new TinyCache({ numBlocks: 30 });
    after.request(ONE_TO(4));
    expect((await restorePromptCache(after.host, path)).numBlocks).toBe(2);
    const reads = vi.spyOn(FileRangeReader.prototype, 'read');
    expect(await restorePromptCache(after.host, path)).toEqual({ numBlocks: 0, numTokens: 0, numBlocksInFile: 4 });
    expect(reads.mock.calls.map(([, , field]) => field)).not.toContain('KV blocks');
    reads.mockRestore();
    const both = await Promise.all([0, 1].map(() => restorePromptCache(new TinyCache({ numBlocks: 9 }).host, path)));
    expect(both.map(({ numBlocks }) => numBlocks)).toEqual([4, 4]);
    const shared = new TinyCache({ numBlocks: 30 });
    const at = await Promise.all([0, 1].map(() => restorePromptCache(shared.host, path)));
    expect(at.reduce((sum, { numBlocks }) => sum + numBlocks, 0)).toBe(4);
    expect(shared.manager.stats().cached).toBe(4);
  });

  it('lies in the file as the documentation draws it', async () => {
    const cache = new TinyCache({ numBlocks: 9 });
    const { id } = cache.request([1, 2, 3], '', { hold: true })!;
    const path = folder.at('drawn');
    await savePromptCache(cache.host, path);
    const file = await readFile(path);
    expect(file.toString('latin1', 0, 8)).toBe('QUERNKV\n');
    expect([file.readUInt32LE(8), file.readUInt32LE(file.length - 48)]).toEqual([1, 1]);
    const blocksStart = 48 + file.readUInt32LE(12);
    const [blockId] = cache.manager.blockTable(id);
    const pages: Uint8Array[] = [];
    for (const { keys, values } of cache.host.layers) {
      for (const tensor of [keys, values]) {
        const page = new Uint8Array(tensor.byteLength / 9);
        await cache.host.backend.readBytes(tensor, blockId! * page.length, page);
        pages.push(page);
      }
    }
    const block = Buffer.concat(pages);
    expect(file.subarray(blocksStart, blocksStart + block.length)).toEqual(block);
    const indexStart = file.length - 48 - file.readUInt32LE(file.length - 44);
    expect(indexStart).toBe(blocksStart + block.length);
    expect(unpackPlain(file.subarray(indexStart, file.length - 48))).toEqual({
      saltTags: [Buffer.from(saltTag(''), 'hex')],
      parents: Buffer.from(Int32Array.of(-1).buffer),
      tokenIds: Buffer.from(Int32Array.of(1, 2).buffer),
      digests: createHash('sha256').update(block).digest(),
    });
  });

  it('can be empty', async () => {
    const path = folder.at('empty');
    expect(await savePromptCache(new TinyCache({ numBlocks: 5 }).host, path)).toMatchObject({ numBlocks: 0 });
    const restored = await restorePromptCache(new TinyCache({ numBlocks: 5 }).host, path);
    expect(restored).toEqual({ numBlocks: 0, numTokens: 0, numBlocksInFile: 0 });
  });

  it('leaves out what cannot be found: the rest of a chain whose head was evicted', async () => {
    const cache = new TinyCache({ numBlocks: 6, slidingWindow: 4 });
    const growing = { id: 99, tokenIds: Int32Array.from(ONE_TO(12)), numTokens: 12, cacheSalt: '' };
    for (let i = 0; i < 12; i++) {
      cache.manager.allocateSlots({ ...growing, numComputedTokens: i }, 1);
      cache.manager.cacheFullBlocks({ ...growing, numComputedTokens: i + 1 });
    }
    cache.manager.free(99);
    cache.request([50, 51, 52]);
    const path = folder.at('headless');
    const { numBlocks } = await savePromptCache(cache.host, path);
    expect(numBlocks).toBe(cache.paths().length);
    expect(numBlocks).toBeLessThan(cache.manager.stats().cached);
  });
});

describe('saving while requests go on', () => {
  it('never writes a block that is something else by then', async () => {
    const path = folder.at('meanwhile');
    const cases = fc.array(requestArbitrary, { minLength: 4, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 4, max: 12 }), async (requests, numBlocks) => {
        const cache = new TinyCache({ numBlocks });
        for (const { tokens, salt } of requests) cache.request(tokens, salt);
        // Each page that is asked for lets somebody else have a turn, who evicts and overwrites.
        const { backend } = cache.host;
        const others = requests.values();
        const readBytes = backend.readBytes.bind(backend);
        const reads = vi.spyOn(backend, 'readBytes').mockImplementation(async (...args) => {
          await readBytes(...args);
          await nextTurn();
          const other = others.next().value;
          if (other !== undefined) cache.request(other.tokens.toReversed(), other.salt);
        });
        const saved = await savePromptCache(cache.host, path);
        reads.mockRestore();
        const after = new TinyCache({ numBlocks: 60 });
        expect(await restorePromptCache(after.host, path)).toMatchObject({ numBlocks: saved.numBlocks });
        for (const { tokens, salt } of requests) {
          after.numFindable(tokens, salt);
          after.numFindable(tokens.toReversed(), salt);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('can be given up, and leaves the old file and nothing else', async () => {
    const cache = new TinyCache({ numBlocks: 30 });
    cache.request(ONE_TO(20));
    const path = folder.at('given-up');
    await writeFile(path, 'old');
    const controller = new AbortController();
    const write = savePromptCache(cache.host, path, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(write).rejects.toThrow('enough');
    expect(await readFile(path, 'utf8')).toBe('old');
    expect((await readdir(folder.at('.'))).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    await expect(savePromptCache(cache.host, folder.at('no/such/folder'))).rejects.toThrow(FileAccessError);
  });
});

describe('restoring while requests go on', () => {
  it('is whole at every moment, and each request computes the right thing', async () => {
    const path = folder.at('in-traffic');
    const cases = fc.array(requestArbitrary, { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 4, max: 20 }), async (requests, numBlocks) => {
        const before = new TinyCache({ numBlocks: 60 });
        for (const { tokens, salt } of requests) before.request(tokens, salt);
        await savePromptCache(before.host, path);
        const after = new TinyCache({ numBlocks });
        // Somebody has a turn between reading a batch and putting it in.
        const others = requests.values();
        const host = {
          ...after.host,
          betweenSteps: async <T>(task: () => Promise<T>): Promise<T> => {
            const other = others.next().value;
            if (other !== undefined) after.request(other.tokens, other.salt);
            return after.host.betweenSteps(task);
          },
        };
        const { refused } = await restorePromptCache(host, path);
        expect(refused).toBeUndefined();
        for (const { tokens, salt } of requests) after.request(tokens, salt);
        expect(after.manager.findInconsistency()).toBeUndefined();
      }),
    );
  });

  it('leaves out what follows a block that was evicted since', async () => {
    const sizes = { numBlocks: 301, blockSize: 64 };
    const tokens = Array.from({ length: 300 * 64 }, (_, i) => i);
    const before = new TinyCache(sizes);
    before.request(tokens);
    const path = folder.at('evicted-since');
    await savePromptCache(before.host, path);
    const after = new TinyCache(sizes);
    const host = {
      ...after.host,
      betweenSteps: async <T>(task: () => Promise<T>): Promise<T> => {
        const result = await after.host.betweenSteps(task);
        // Somebody needs all memory, and fails before anything of it is cached.
        const greedy = { id: 77, tokenIds: Int32Array.from(tokens), numTokens: tokens.length, cacheSalt: '' };
        after.manager.allocateSlots({ ...greedy, numComputedTokens: 0 }, tokens.length);
        after.manager.free(77);
        return result;
      },
    };
    // The first batch came and went; nothing can be found after it.
    expect(await restorePromptCache(host, path)).toMatchObject({ numBlocks: 256, numBlocksInFile: 300 });
    expect(after.manager.stats()).toMatchObject({ used: 0, cached: 0 });
    expect(after.request(tokens)!.numCachedTokens).toBe(0);
  });

  it('forgets what came of a file whose damage shows late, but not under those who use it', async () => {
    // 300 blocks of 4 KiB: more than a batch.
    const sizes = { numBlocks: 400, blockSize: 64 };
    const big = new TinyCache(sizes);
    const rng = Rng.fromSeed(1);
    const tokens = Array.from({ length: 300 * 64 }, () => rng.nextUint32() % 1000);
    big.request(tokens);
    const path = folder.at('late');
    const { numBlocks } = await savePromptCache(big.host, path);
    const bytes = await readFile(path);
    const lastBlock = bytes.lastIndexOf(await lastBlockBytes(big));
    expect(lastBlock).toBeGreaterThan(2 ** 20);
    bytes[lastBlock]! ^= 1;
    await writeFile(path, bytes);

    const after = new TinyCache(sizes);
    let held: { readonly id: number; readonly numCachedTokens: number } | undefined;
    const host = {
      ...after.host,
      betweenSteps: async <T>(task: () => Promise<T>): Promise<T> => {
        const result = await after.host.betweenSteps(task);
        held ??= after.request([...tokens.slice(0, 640), 5000], '', { hold: true });
        return result;
      },
    };
    const restored = await restorePromptCache(host, path);
    expect(restored).toMatchObject({ numBlocks: 0, refused: { reason: 'damaged' } });
    expect(restored.refused!.message).toContain(`KV block ${numBlocks - 1}`);
    expect(held!.numCachedTokens).toBe(640);
    expect(after.paths()).toEqual([]);
    expect(after.manager.stats()).toMatchObject({ used: 11, cached: 0 });
    // The one in use is its own again, and correct.
    after.manager.free(held!.id);
    expect(after.manager.findInconsistency()).toBeUndefined();
    expect(after.manager.stats()).toMatchObject({ used: 0, cached: 0 });
    expect(after.request(tokens)!.numCachedTokens).toBe(0);
  });

  it('can be given up, and forgets what came', async () => {
    const cache = new TinyCache({ numBlocks: 30 });
    cache.request(ONE_TO(20));
    const path = folder.at('restore-given-up');
    await savePromptCache(cache.host, path);
    const after = new TinyCache({ numBlocks: 30 });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(restorePromptCache(after.host, path, { signal })).rejects.toThrow('enough');
    const closed = { ...after.host, betweenSteps: () => Promise.reject(new Error('the engine is closed')) };
    await expect(restorePromptCache(closed, path)).rejects.toThrow('the engine is closed');
    expect(after.manager.stats().cached).toBe(0);
  });
});

it('needs prefix caching', async () => {
  const { host } = new TinyCache({ numBlocks: 5, enablePrefixCaching: false });
  await expect(savePromptCache(host, folder.at('x'))).rejects.toThrow(InvalidArgumentError);
  await expect(restorePromptCache(host, folder.at('x'))).rejects.toThrow(/enablePrefixCaching/);
});

/** The bytes of the block that a save writes last. */
async function lastBlockBytes(cache: TinyCache): Promise<Buffer> {
  const { KvBlockBytes } = await import('../../../engine/prompt-cache/kv-block-bytes.ts');
  const bytes = new KvBlockBytes(cache.host.backend, cache.host.layers);
  const target = Buffer.alloc(bytes.byteLength);
  await bytes.read(cache.manager.cachedContent!.blocks().at(-1)!.blockIds[0]!, target);
  return target;
}
