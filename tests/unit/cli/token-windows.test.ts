import fc from 'fast-check';
import { expect, it } from 'vitest';
import { tokenWindows, type WindowOptions } from '../../../cli/perplexity/token-windows.ts';

async function* chunked(tokens: readonly number[], sizes: readonly number[]): AsyncGenerator<Int32Array> {
  for (let at = 0, i = 0; at < tokens.length; i++) {
    const size = sizes[i % sizes.length]!;
    yield Int32Array.from(tokens.slice(at, at + size));
    at += size;
  }
}

async function windows(tokens: readonly number[], options: WindowOptions, sizes = [3, 1, 8]) {
  const list = [];
  for await (const { tokenIds, firstCounted } of tokenWindows(chunked(tokens, sizes), options)) {
    list.push({ tokenIds: [...tokenIds], firstCounted });
  }
  return list;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

it('shares one token between windows, or more with a smaller stride', async () => {
  expect(await windows(upTo(8), { window: 4, stride: 3 })).toEqual([
    { tokenIds: [0, 1, 2, 3], firstCounted: 1 },
    { tokenIds: [3, 4, 5, 6], firstCounted: 1 },
    { tokenIds: [6, 7], firstCounted: 1 },
  ]);
  expect(await windows(upTo(8), { window: 6, stride: 3 })).toEqual([
    { tokenIds: [0, 1, 2, 3, 4, 5], firstCounted: 1 },
    { tokenIds: [3, 4, 5, 6, 7], firstCounted: 3 },
  ]);
});

it('puts BOS in place of the first token of later windows', async () => {
  expect(await windows(upTo(6), { window: 4, stride: 3, bosId: 99 })).toEqual([
    { tokenIds: [0, 1, 2, 3], firstCounted: 1 },
    { tokenIds: [99, 4, 5], firstCounted: 1 },
  ]);
});

it('counts every token but the first once, with as much context as the window allows', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 2, max: 12 }),
      fc.nat(),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 }),
      async (numTokens, window, strideSeed, sizes) => {
        const stride = 1 + (strideSeed % (window - 1));
        const list = await windows(upTo(numTokens), { window, stride }, sizes);
        expect(list.flatMap(({ tokenIds, firstCounted }) => tokenIds.slice(firstCounted))).toEqual(
          upTo(numTokens).slice(1),
        );
        for (const { tokenIds } of list) expect(tokenIds.length).toBeLessThanOrEqual(window);
      },
    ),
  );
});
