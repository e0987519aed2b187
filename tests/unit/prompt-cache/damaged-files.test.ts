/** Whatever is done to a prompt-cache file, restoring it ends with a refusal that says why, nothing restored, and an engine
 * that goes on. QUERN_RUNS=100 runs it long. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { saltTag } from '../../../engine/kvcache/salt-tag.ts';
import { encodeIndex } from '../../../engine/prompt-cache/block-index.ts';
import { packPlain } from '../../../engine/prompt-cache/plain-msgpack.ts';
import { encodeIdentity, identityOf } from '../../../engine/prompt-cache/prompt-cache-identity.ts';
import { blockDigest, encodeEnd, encodeStart } from '../../../engine/prompt-cache/prompt-cache-layout.ts';
import { type RestoredPromptCache, restorePromptCache } from '../../../engine/prompt-cache/restore-prompt-cache.ts';
import { savePromptCache } from '../../../engine/prompt-cache/save-prompt-cache.ts';
import { mutations } from '../../helpers/mutations.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';
import { TinyCache, type TinyCacheOptions } from './tiny-cache.ts';

const folder = useTemporaryFolder();

const TOKENS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const BLOCK_BYTES = 128;
let original: Buffer;

beforeAll(async () => {
  const cache = new TinyCache({ numBlocks: 20 });
  cache.request(TOKENS);
  cache.request([1, 2, 7, 7, 7], 'tenant');
  await savePromptCache(cache.host, folder.at('original'));
  original = await readFile(folder.at('original'));
});

/** Restores into a cache that holds something already, and checks that this is all that it holds afterwards. */
async function restoreRefused(path: string, options: Partial<TinyCacheOptions> = {}): Promise<RestoredPromptCache> {
  const cache = new TinyCache({ numBlocks: 20, ...options });
  const own = Array.from({ length: 9 }, (_, i) => i + 50);
  cache.request(own);
  const paths = cache.paths();
  const result = await restorePromptCache(cache.host, path);
  expect(result).toMatchObject({ numBlocks: 0, numTokens: 0, numBlocksInFile: 0 });
  expect(result.refused!.message).toContain(path);
  expect(cache.paths()).toEqual(paths);
  expect(cache.manager.stats()).toMatchObject({ used: 0, cached: paths.length });
  expect(cache.request(TOKENS)!.numCachedTokens).toBe(0);
  expect(cache.manager.findInconsistency()).toBeUndefined();
  return result;
}

describe('a damaged prompt-cache file is refused', () => {
  it('in every byte', async () => {
    for (let i = 0; i < original.length; i += 7) {
      const bytes = Buffer.from(original);
      bytes[i]! ^= 1 << (i % 8);
      await restoreRefused(await folder.put('flipped', bytes));
    }
  });

  it('in any way', async () => {
    const damage = mutations(original.length);
    await fc.assert(
      fc.asyncProperty(damage, async (steps) => {
        let bytes: Buffer = Buffer.from(original);
        for (const step of steps) bytes = step(bytes);
        if (bytes.equals(original)) return;
        await restoreRefused(await folder.put('mutated', bytes));
      }),
    );
  });

  it('cut off or continued anywhere', async () => {
    const numOpen = numOpenFiles();
    for (let length = 0; length < original.length; length += 11) {
      const { refused } = await restoreRefused(await folder.put('cut', original.subarray(0, length)));
      expect(refused!.reason).toBe('damaged');
    }
    await restoreRefused(await folder.put('longer', Buffer.concat([original, Buffer.alloc(1)])));
    await restoreRefused(await folder.put('doubled', Buffer.concat([original, original])));
    expect(numOpenFiles()).toBe(numOpen);
  });

  it('when parts of two good files are put together', async () => {
    const cache = new TinyCache({ numBlocks: 20 });
    cache.request(TOKENS.map((token) => token + 1));
    cache.request([1, 2, 7, 7, 7], 'tenant');
    const path = folder.at('other');
    await savePromptCache(cache.host, path);
    const other = await readFile(path);
    expect(other.length).toBe(original.length);
    for (let at = 0; at <= original.length; at += 13) {
      const bytes = Buffer.concat([original.subarray(0, at), other.subarray(at)]);
      if (bytes.equals(original) || bytes.equals(other)) continue;
      await restoreRefused(await folder.put('spliced', bytes));
    }
  });
});

it('refuses pages of another model under the header of this one', async () => {
  const cache = new TinyCache({ numBlocks: 20, modelFingerprint: 'tinz' });
  cache.request(TOKENS);
  await savePromptCache(cache.host, folder.at('tinz'));
  const other = await readFile(folder.at('tinz'));
  const blocksStart = 48 + original.readUInt32LE(12);
  expect(48 + other.readUInt32LE(12)).toBe(blocksStart);
  const bytes = Buffer.concat([original.subarray(0, blocksStart), other.subarray(blocksStart)]);
  expect((await restoreRefused(await folder.put('grafted', bytes))).refused!.message).toMatch(/index .*checksum/);
});

describe('a file that is not for this engine is refused', () => {
  it.each([
    ['another model', { modelFingerprint: 'other' }, 'foreign', 'made with model tiny, but this engine has other'],
    ['another kvDtype', { kvDtype: 'f16' }, 'foreign', 'made with kvDtype f32, but this engine has f16'],
    ['another blockSize', { blockSize: 4 }, 'foreign', 'made with blockSize 2, but this engine has 4'],
  ] as const)('%s', async (_, options, reason, message) => {
    const { refused } = await restoreRefused(folder.at('original'), options);
    expect(refused!.reason).toBe(reason);
    expect(refused!.message).toContain(message);
  });

  it.each([
    ['another backend', { name: 'wasm' }, 'made with backend reference, but this engine has wasm'],
    ['another page layout', { kvPageLayout: 'rows-2' }, 'made with page layout rows-1, but this engine has rows-2'],
  ])('%s', async (_, properties, message) => {
    const { host } = new TinyCache({ numBlocks: 20 });
    const backend = Object.assign(Object.create(host.backend) as typeof host.backend, properties);
    const { refused } = await restorePromptCache({ ...host, backend }, folder.at('original'));
    expect(refused).toMatchObject({ reason: 'foreign', message: expect.stringContaining(message) });
  });

  it('another version of the format, whatever follows', async () => {
    const bytes = Buffer.from(original.subarray(0, 100));
    bytes.writeUInt32LE(2, 8);
    const { refused } = await restoreRefused(await folder.put('version', bytes));
    expect(refused).toMatchObject({ reason: 'version', message: expect.stringContaining('format version 2') });
  });

  it('something else altogether', async () => {
    const { refused } = await restoreRefused(await folder.put('text', 'Once upon a time '.repeat(50)));
    expect(refused).toMatchObject({ reason: 'foreign', message: expect.stringContaining('not a prompt-cache file') });
    expect((await restoreRefused(folder.at('no-such-file'))).refused!.reason).toBe('unreadable');
    await mkdir(folder.at('a-folder'));
    expect((await restoreRefused(folder.at('a-folder'))).refused!.reason).toBe('damaged');
  });
});

describe('a forged file, all checksums right, is refused', () => {
  /** A file around whatever index. */
  async function forge(index: Uint8Array, { numBlocks = 2, header = undefined as Uint8Array | undefined } = {}) {
    const identity = identityOf(new TinyCache({ numBlocks: 20 }).host);
    const start = encodeStart(header ?? encodeIdentity(identity));
    const blocks = new Uint8Array(numBlocks * BLOCK_BYTES);
    return folder.put('forged', Buffer.concat([start.bytes, blocks, encodeEnd(start.digest, numBlocks, index)]));
  }

  const digest = blockDigest(new Uint8Array(BLOCK_BYTES));
  const root = saltTag('');
  const block = (parent: number | string, ...tokenIds: number[]) => ({
    parent,
    tokenIds: Int32Array.from(tokenIds),
    digest,
  });
  const columns = (changes: object) => {
    const good = {
      parents: Buffer.alloc(8, 255),
      tokenIds: Buffer.alloc(16, 1),
      digests: Buffer.concat([digest, digest]),
    };
    return packPlain({ saltTags: [Buffer.alloc(32)], ...good, ...changes });
  };

  it('unless it is sound (the test can fail)', async () => {
    const path = await forge(encodeIndex([block(root, 1, 2), block(0, 3, 4)], 2));
    const cache = new TinyCache({ numBlocks: 20 });
    expect(await restorePromptCache(cache.host, path)).toEqual({ numBlocks: 2, numTokens: 4, numBlocksInFile: 2 });
    const again = new TinyCache({ numBlocks: 20 });
    expect((await restorePromptCache(again.host, await forge(columns({})))).refused).toBeUndefined();
  });

  it('and equal blocks are one', async () => {
    const path = await forge(encodeIndex([block(root, 1, 2), block(root, 1, 2)], 2));
    const cache = new TinyCache({ numBlocks: 20 });
    expect(await restorePromptCache(cache.host, path)).toMatchObject({ numBlocks: 1, numBlocksInFile: 2 });
  });

  it.each([
    ['its own parent', encodeIndex([block(root, 1, 2), block(1, 3, 4)], 2), /block 1 has parent 1/],
    ['a later parent', encodeIndex([block(1, 1, 2), block(root, 3, 4)], 2), /block 0 has parent 1/],
    ['no such salt', columns({ saltTags: [] }), /block 0 has parent -1/],
    ['a salt that is none', columns({ saltTags: ['x'] }), /saltTags must be 32 bytes, got no bytes/],
    ['no list of salts', columns({ saltTags: 5 }), /no list of salts/],
    ['a token that is none', encodeIndex([block(root, 1, -2), block(0, 3, 4)], 2), /-2, which is not a token id/],
    ['a short column', columns({ tokenIds: Buffer.alloc(12) }), /tokenIds must be 16 bytes, got 12/],
    ['a missing column', columns({ digests: null }), /digests must be 64 bytes, got no/],
    ['no map', packPlain(7), /is not a map/],
    ['more than one value', Buffer.concat([columns({}), Buffer.of(0)]), /after its only value/],
    ['a wrong block', columns({ digests: Buffer.alloc(64) }), /KV block 0 .*checksum/],
    ['nothing', new Uint8Array(0), /ends in the middle/],
  ])('with %s', async (_, index, message) => {
    const { refused } = await restoreRefused(await forge(index));
    expect(refused!.reason).toBe('damaged');
    expect(refused!.message).toMatch(message);
  });

  it.each([
    ['no map', packPlain('tiny'), /is not a map/],
    ['nothing in it', packPlain({}), /has no modelFingerprint/],
    ['an escape sequence in it', packPlain({ modelFingerprint: '\u001b[2J\u202e' }), /model \?\[2J\?, but/],
  ])('with a header that has %s', async (_, header, message) => {
    expect((await restoreRefused(await forge(columns({}), { header }))).refused!.message).toMatch(message);
  });

  it('and takes no memory that a file merely asks for', async () => {
    // A sparse file whose trailer says that it is all index, and files whose header is huge.
    const path = folder.at('sparse');
    const identity = identityOf(new TinyCache({ numBlocks: 20 }).host);
    const start = encodeStart(encodeIdentity(identity));
    const size = 2 ** 32;
    const trailer = Buffer.alloc(48);
    trailer.writeUInt32LE(size - start.bytes.length - 48, 4);
    trailer.write('QUERNEND', 40, 'latin1');
    const file = await open(path, 'w');
    await file.write(start.bytes, 0, start.bytes.length, 0);
    await file.write(trailer, 0, 48, size - 48);
    await file.close();
    expect((await restoreRefused(path)).refused!.message).toMatch(/do not make a file/);
    for (const [length, numZeros] of [
      [2 ** 32 - 1, 0],
      [2 ** 20, 2 ** 21],
    ] as const) {
      const bytes = Buffer.concat([original, Buffer.alloc(numZeros)]);
      bytes.writeUInt32LE(length, 12);
      expect((await restoreRefused(await folder.put('header', bytes))).refused!.message).toMatch(/header length/);
    }
  });
});

it('trusts the model named in the header only under its checksum', async () => {
  const bytes = Buffer.from(original);
  const at = bytes.indexOf('tiny');
  bytes.write('liny', at, 'latin1');
  const { refused } = await restoreRefused(await folder.put('renamed', bytes), { modelFingerprint: 'liny' });
  expect(refused!.reason).toBe('damaged');
  // The header's checksum is what the layout says, so that others can read the file.
  const header = original.subarray(48, 48 + original.readUInt32LE(12));
  const expected = createHash('sha256').update(original.subarray(0, 16)).update(header).digest();
  expect(original.subarray(16, 48).equals(expected)).toBe(true);
  await writeFile(folder.at('renamed'), original);
});

function numOpenFiles(): number {
  return existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0;
}
