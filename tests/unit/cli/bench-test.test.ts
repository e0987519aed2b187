import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contextOf, selectTests, testName } from '../../../cli/bench/bench-test.ts';

const ALL = { batch: [1], depth: 0 };
const names = (...args: Parameters<typeof selectTests>) => selectTests(...args).map(testName);

describe('selectTests', () => {
  it('names tests as llama-bench does, each batch once', () => {
    expect(names({ ...ALL, batch: [1, 4, 16, 4] }, 4096)).toEqual(['pp512', 'tg128', 'tg128@b4', 'tg128@b16']);
    expect(names({ ...ALL, prompt: 0, generate: 7, depth: 1024 }, 4096)).toEqual(['tg7@d1024']);
    expect(names({ prompt: 64, generate: 8, batch: [2], depth: 32 }, 4096)).toEqual(['pp64@d32', 'tg8@b2@d32']);
  });

  it('makes do with a short context unless told a number', () => {
    expect(names(ALL, 512)).toEqual(['pp511', 'tg128']);
    expect(names(ALL, 100)).toEqual(['pp99', 'tg98']);
    expect(() => names({ ...ALL, prompt: 512 }, 512)).toThrow(
      '--prompt: 512 tokens do not fit into a context of 512; at most 511',
    );
    expect(() => names({ ...ALL, generate: 511 }, 512)).toThrow('at most 510');
  });

  it('never selects what does not fit, nor nothing', () => {
    const count = fc.option(fc.nat(600), { nil: undefined });
    fc.assert(
      fc.property(
        count,
        count,
        fc.nat(40),
        fc.integer({ min: 1, max: 512 }),
        (prompt, generate, blocks, maxContext) => {
          const selection = {
            ...(prompt === undefined ? {} : { prompt }),
            ...(generate === undefined ? {} : { generate }),
            batch: [1, 3],
            depth: blocks * 16,
          };
          let tests: ReturnType<typeof selectTests>;
          try {
            tests = selectTests(selection, maxContext);
          } catch (error) {
            expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
            return;
          }
          expect(tests.length).toBeGreaterThan(0);
          for (const test of tests) {
            expect(test.numTokens).toBeGreaterThan(0);
            expect(contextOf(test)).toBeLessThanOrEqual(maxContext);
          }
        },
      ),
    );
  });

  it('refuses a depth that the prefix cache cannot keep', () => {
    expect(() => names({ ...ALL, depth: 17 }, 512)).toThrow('--depth: must be a multiple of 16, got 17');
    expect(() => names({ ...ALL, depth: 512 }, 512)).toThrow('--depth: 512 leaves no room in a context of 512');
    expect(() => names({ ...ALL, prompt: 0, generate: 0 }, 512)).toThrow('nothing to measure');
  });
});
