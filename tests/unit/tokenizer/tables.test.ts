import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BYTE_TO_CHAR, spelledBytes } from '../../../engine/tokenizer/byte-alphabet.ts';
import { MinHeap } from '../../../engine/tokenizer/min-heap.ts';
import { PairTable } from '../../../engine/tokenizer/pair-table.ts';
import { PieceCache } from '../../../engine/tokenizer/piece-cache.ts';

describe('PairTable', () => {
  it('holds what a map would hold, the first entry of a pair counting', () => {
    const id = fc.integer({ min: 0, max: 20 });
    fc.assert(
      fc.property(fc.array(fc.tuple(id, id, fc.nat(), fc.nat()), { maxLength: 200 }), (entries) => {
        const table = new PairTable(entries.length);
        const map = new Map<string, readonly number[]>();
        for (const [left, right, rank, merged] of entries) {
          table.add(left, right, rank, merged);
          if (!map.has(`${left} ${right}`)) map.set(`${left} ${right}`, [rank, merged]);
        }
        expect(table.size).toBe(map.size);
        for (let left = 0; left <= 20; left++) {
          for (let right = 0; right <= 20; right++) {
            const slot = table.find(left, right);
            const found = slot < 0 ? undefined : [table.rank(slot), table.merged(slot)];
            expect(found).toEqual(map.get(`${left} ${right}`));
          }
        }
      }),
    );
  });

  it('is empty after clear', () => {
    const table = new PairTable(4);
    table.add(1, 2, 3, 4);
    table.clear();
    expect([table.size, table.find(1, 2)]).toEqual([0, -1]);
  });
});

describe('MinHeap', () => {
  it('gives its keys in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (keys) => {
        const heap = new MinHeap(1);
        for (const key of keys) heap.push(key);
        expect(keys.map(() => heap.pop())).toEqual([...keys].sort((a, b) => a - b));
      }),
    );
  });
});

describe('the byte alphabet', () => {
  it('has one visible character per byte, and spells back', () => {
    expect(new Set(BYTE_TO_CHAR).size).toBe(256);
    expect(BYTE_TO_CHAR.join('')).toMatch(/^[^\s\p{Cc}]{256}$/u);
    expect(spelledBytes(BYTE_TO_CHAR.join(''))).toEqual(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    expect([BYTE_TO_CHAR[0x20], BYTE_TO_CHAR[0x0a], BYTE_TO_CHAR[0x41]]).toEqual(['Ġ', 'Ċ', 'A']);
    expect(spelledBytes('a b')).toBeUndefined();
  });
});

describe('PieceCache', () => {
  it('remembers pieces in use however many others come, and forgets the rest', () => {
    const cache = new PieceCache();
    const out: number[] = [];
    cache.remember('often', [7, 8, 9], 1);
    for (let i = 0; i < 40_000; i++) {
      cache.remember(`piece ${i}`, [i], 0);
      out.length = 0;
      expect(cache.append('often', out)).toBe(true);
    }
    expect(out).toEqual([8, 9]);
    expect(cache.append('piece 0', out)).toBe(false);
    expect(cache.append('piece 39999', out)).toBe(true);
    expect(out).toEqual([8, 9, 39_999]);
  });
});
