import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import { BlockPool } from '../../../engine/kvcache/block-pool.ts';
import { CachedContent } from '../../../engine/kvcache/cached-content.ts';
import { type ChainLink, PrefixCache } from '../../../engine/kvcache/prefix-cache.ts';
import { saltTag } from '../../../engine/kvcache/salt-tag.ts';

const BLOCK_SIZE = 2;
const SALTS = ['', 'tenant'];

/** A pool and a prefix cache, used as the manager uses them, by sequences that begin, hit, and end. */
class Fixture {
  readonly pool: BlockPool;
  readonly cache: PrefixCache;
  readonly content: CachedContent;

  constructor(numBlocks: number, hashFunction?: () => number) {
    this.cache = new PrefixCache({
      blockSize: BLOCK_SIZE,
      modelFingerprint: 'm',
      ...(hashFunction && { hashFunction }),
    });
    this.pool = new BlockPool({ numBlocks, onEvict: (blockId, hash) => this.cache.remove(blockId, hash) });
    this.content = new CachedContent(this.pool, this.cache);
  }

  /** As many blocks of these tokens as there is room for. */
  store(tokens: readonly number[], salt = ''): void {
    const tokenIds = Int32Array.from(tokens);
    const held: number[] = [];
    let parent: ChainLink | undefined = this.cache.root(salt);
    for (let start = 0; start + BLOCK_SIZE <= tokens.length && parent !== undefined; start += BLOCK_SIZE) {
      const known = this.cache.child(parent, tokenIds, start);
      const blockId = known === undefined ? this.pool.allocate() : known.blockIds[0]!;
      if (blockId === undefined) break;
      held.push(blockId);
      if (known !== undefined) this.pool.touch(blockId);
      const link = this.cache.insert(parent, tokenIds, start, blockId);
      if (known === undefined && link !== undefined) this.pool.setHash(blockId, link.hash);
      parent = link;
    }
    for (const blockId of held.reverse()) this.pool.free(blockId);
  }

  /** Everything that can be found, the slow way: try every path of known tokens. */
  findable(): Set<string> {
    const found = new Set<string>();
    const visit = (salt: string, tokens: readonly number[]): void => {
      for (const a of [0, 1]) {
        for (const b of [0, 1]) {
          const longer = [...tokens, a, b];
          if (this.content.blocksOf(Int32Array.from(longer), salt).length * BLOCK_SIZE < longer.length) continue;
          found.add(`${saltTag(salt)}:${longer}`);
          visit(salt, longer);
        }
      }
    };
    for (const salt of SALTS) visit(salt, []);
    return found;
  }

  listed(): string[] {
    const paths = new Map<number | string, string>(SALTS.map((salt) => [saltTag(salt), `${saltTag(salt)}:`]));
    return this.content.blocks().map(({ id, parentId, tokenIds, blockIds }) => {
      expect(blockIds.length).toBeGreaterThan(0);
      const before = paths.get(parentId)!;
      expect(before, 'a parent comes before its children').toBeDefined();
      const path = `${before}${before.endsWith(':') ? '' : ','}${tokenIds}`;
      paths.set(id, path);
      return path;
    });
  }
}

const stepArbitrary = fc.record({
  op: fc.constantFrom('store', 'store', 'adopt', 'forget', 'evict', 'useTail'),
  tokens: fc.array(fc.nat(1), { minLength: 2, maxLength: 8 }),
  salt: fc.constantFrom(...SALTS),
});

describe('CachedContent', () => {
  it.each([
    ['with its own hash', undefined],
    ['when every hash collides', () => 7],
  ])('lists exactly what can be found, each once and after its parent, %s', (_, hashFunction) => {
    const steps = fc.array(stepArbitrary, { maxLength: 30, size: 'max' });
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 12 }), steps, (numBlocks, steps) => {
        const fixture = new Fixture(numBlocks, hashFunction);
        const { content, pool } = fixture;
        for (const { op, tokens, salt } of steps) {
          const tokenIds = Int32Array.from(tokens);
          const chain = content.blocksOf(tokenIds, salt);
          if (op === 'store') fixture.store(tokens, salt);
          if (op === 'evict') {
            const blockId = pool.allocate();
            if (blockId !== undefined) pool.free(blockId);
          }
          if (op === 'forget' && chain.length > 0) content.forget(chain.at(-1)!, chain.at(-1)!.blockIds[0]!);
          if (op === 'useTail' && chain.length > 0) {
            // Behind a sliding window, the tail of a chain is used without its head.
            pool.touch(chain.at(-1)!.blockIds[0]!);
            pool.free(chain.at(-1)!.blockIds[0]!);
          }
          const start = chain.length * BLOCK_SIZE;
          const empty = content.emptyBlockIds().pop();
          if (op === 'adopt' && empty !== undefined && start + BLOCK_SIZE <= tokens.length) {
            const order = pool.freeBlockIds();
            const parent = chain.at(-1) ?? content.root(saltTag(salt));
            const link = content.adopt(empty, parent, tokenIds.slice(start, start + BLOCK_SIZE))!;
            expect(content.find(parent, tokenIds.slice(start, start + BLOCK_SIZE))).toBe(link);
            expect(pool.freeBlockIds()).toEqual(order);
          }
          expect(pool.numFree).toBe(numBlocks - 1);
          const listed = fixture.listed();
          expect(new Set(listed).size).toBe(listed.length);
          expect(new Set(listed)).toEqual(fixture.findable());
        }
      }),
    );
  });

  it('puts what is in use first, then what was used last', () => {
    const { pool, cache, content } = new Fixture(9);
    const store = (...tokens: number[]): number => {
      const blockId = pool.allocate()!;
      pool.setHash(blockId, cache.insert(cache.root(''), Int32Array.from(tokens), 0, blockId)!.hash);
      return blockId;
    };
    const [a, b, c] = [store(1, 1), store(2, 2), store(3, 3)];
    for (const blockId of [c, a]) pool.free(blockId!);
    expect(content.blocks().map(({ blockIds }) => blockIds[0])).toEqual([b, a, c]);
  });

  it('forgets a block that is in use without taking it away, and one that is gone not at all', () => {
    const { pool, cache, content } = new Fixture(3);
    const blockId = content.emptyBlockIds().pop()!;
    const link = content.adopt(blockId, cache.root(''), Int32Array.of(1, 2))!;
    pool.touch(blockId);
    content.forget(link, blockId);
    expect(content.blocks()).toEqual([]);
    expect([pool.refCount(blockId), pool.hash(blockId)]).toEqual([1, undefined]);
    content.forget(link, blockId);
    expect(pool.refCount(blockId)).toBe(1);
    pool.free(blockId);
    // Other content is in the block by now, and stays.
    const other = content.adopt(blockId, cache.root(''), Int32Array.of(7, 8))!;
    content.forget(link, blockId);
    expect(content.find(cache.root(''), Int32Array.of(7, 8))).toBe(other);
    expect(pool.hash(blockId)).toBe(other.hash);
    // A child of what is gone could never be found.
    expect(content.adopt(content.emptyBlockIds().pop()!, link, Int32Array.of(3, 4))).toBeUndefined();
  });

  it('adopts into empty blocks only, and changes nothing otherwise', () => {
    const { pool, cache, content } = new Fixture(4);
    const used = pool.allocate()!;
    const full = content.emptyBlockIds().pop()!;
    content.adopt(full, cache.root(''), Int32Array.of(1, 2));
    for (const blockId of [used, full, 0, -1, 4]) {
      expect(() => content.adopt(blockId, cache.root(''), Int32Array.of(5, 6))).toThrow(InvalidArgumentError);
    }
    expect(content.find(cache.root(''), Int32Array.of(5, 6))).toBeUndefined();
  });
});

describe('saltTag', () => {
  it('is one way, and different for every salt, unpaired surrogates included', () => {
    const tags = ['', 'a', 'b', 'ab', '\ud800', '\ud801', '\ufffd'].map(saltTag);
    expect(new Set(tags).size).toBe(tags.length);
    for (const tag of tags) expect(tag).toMatch(/^[0-9a-f]{64}$/);
    // Files on disk hold it, so it must not change.
    expect(saltTag('')).toMatchInlineSnapshot(`"750ebb11cd3ab21ea51b97d3520efce3a0e90fab454501028492bfed500c8574"`);
  });
});
