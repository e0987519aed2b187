/** A tokenizer.json with wrong values in right places is refused by name, or it works. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QuernError } from '../../../engine/errors.ts';
import { fromTokenizerJson, type Tokenizer } from '../../../engine/tokenizer/index.ts';
import { mutatedJson } from '../../helpers/json-mutations.ts';
import { readGolden } from './small-tokenizers.ts';

const TEXTS = ['', "The quern's 12 stones\n\n turn!", 'żółw 🦙\ud800', ' '.repeat(300), 'a'.repeat(1000), '<s></s>'];

function use(tokenizer: Tokenizer): void {
  for (const text of TEXTS) {
    const ids = tokenizer.encode(text, { addSpecial: true, parseSpecial: true });
    for (const id of ids) expect(id >= 0 && id < tokenizer.vocabSize).toBe(true);
    tokenizer.decode(ids, { skipSpecial: true });
  }
}

describe.each(['byte-level', 'sentencepiece'] as const)('the %s golden, damaged', (name) => {
  it('is refused with a QuernError that is a line, or works', () => {
    let [numLoaded, numRefused] = [0, 0];
    fc.assert(
      fc.property(mutatedJson(readGolden(name).tokenizer), (json) => {
        try {
          use(fromTokenizerJson(json, undefined, 'tokenizer.json'));
          numLoaded++;
        } catch (error) {
          if (!QuernError.isInstance(error)) throw error;
          expect(['FORMAT', 'UNSUPPORTED']).toContain(error.code);
          expect((error as Error).message.length).toBeLessThan(1100);
          numRefused++;
        }
      }),
    );
    // The test means something only if both happen.
    expect(Math.min(numLoaded, numRefused)).toBeGreaterThan(0);
  });
});
