import { describe, expect, it } from 'vitest';
import type { SamplingOptions } from '../../../engine/sampling/sampling-options.ts';
import { resolveSamplingParams } from '../../../engine/sampling/sampling-params.ts';
import { StopCriteria } from '../../../engine/sampling/stop-criteria.ts';
import { contextOf } from './naive-sampling.ts';

const EOG = 2;
const PROMPT = [1, EOG, 7];

function check(options: SamplingOptions, generated: readonly number[], maxModelLen = 100) {
  const criteria = new StopCriteria({ params: resolveSamplingParams(options), eogTokenIds: [EOG, 3], maxModelLen });
  return criteria.check(contextOf(generated, PROMPT).history);
}

describe('StopCriteria', () => {
  it('goes on when nothing ends it', () => {
    expect(check({}, [5])).toBeUndefined();
    expect(check({ max_tokens: 3, stop_token_ids: [9] }, [5, 6])).toBeUndefined();
  });

  it('does not mistake the prompt for generated text', () => {
    expect(check({ stop_token_ids: [7], max_tokens: 1 }, [])).toBeUndefined();
  });

  it("stops at the model's end-of-generation tokens, unless they are ignored", () => {
    expect(check({}, [5, EOG])).toEqual({ finishReason: 'stop' });
    expect(check({}, [3])).toEqual({ finishReason: 'stop' });
    expect(check({ ignore_eos: true }, [5, EOG])).toBeUndefined();
  });

  it('stops at stop tokens and says which', () => {
    expect(check({ stop_token_ids: [9, 0] }, [5, 0])).toEqual({ finishReason: 'stop', stopReason: 0 });
    expect(check({ stop_token_ids: [EOG], ignore_eos: true }, [EOG])).toEqual({
      finishReason: 'stop',
      stopReason: EOG,
    });
  });

  it('ends at max_tokens and at the end of the context', () => {
    expect(check({ max_tokens: 2 }, [5, 6])).toEqual({ finishReason: 'length' });
    expect(check({}, [5], PROMPT.length + 1)).toEqual({ finishReason: 'length' });
    expect(check({}, [5], PROMPT.length + 2)).toBeUndefined();
  });

  it('a stop comes before a limit met by the same token', () => {
    expect(check({ max_tokens: 1 }, [EOG])).toEqual({ finishReason: 'stop' });
  });

  it('counts no stop before min_tokens, but limits hold', () => {
    const options = { min_tokens: 2, stop_token_ids: [9] };
    expect(check(options, [9])).toBeUndefined();
    expect(check(options, [EOG])).toBeUndefined();
    expect(check(options, [5, 9])).toEqual({ finishReason: 'stop', stopReason: 9 });
    expect(check(options, [9], PROMPT.length + 1)).toEqual({ finishReason: 'length' });
  });
});
