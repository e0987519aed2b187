import { once } from 'node:events';
import { Readable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { AbortError } from '../../../engine/errors.ts';
import { type GenerationResult, GenerationStream } from '../../../engine/requests/generation-stream.ts';

const RESULT: GenerationResult = {
  text: 'ab',
  choices: [{ index: 0, text: 'ab', tokenIds: [1, 2], finishReason: 'stop' }],
  usage: { numPromptTokens: 1, numCachedTokens: 0, numGeneratedTokens: 2 },
  timings: { timeToFirstTokenMs: 1, totalMs: 2 },
  seed: 7,
};

async function collect(stream: GenerationStream): Promise<string[]> {
  const texts: string[] = [];
  for await (const { index, text } of stream) texts.push(`${index}:${text}`);
  return texts;
}

describe('iteration', () => {
  it('merges what nobody has read yet, per choice', async () => {
    const stream = new GenerationStream(() => {});
    stream.push({ index: 0, text: 'a', tokenIds: [1] });
    stream.push({ index: 1, text: 'x', tokenIds: [9] });
    stream.push({ index: 0, text: 'b', tokenIds: [2], finishReason: 'stop' });
    stream.finish(RESULT);
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks).toEqual([
      { index: 0, text: 'ab', tokenIds: [1, 2], finishReason: 'stop' },
      { index: 1, text: 'x', tokenIds: [9] },
    ]);
  });

  it('wakes a reader that waits', async () => {
    const stream = new GenerationStream(() => {});
    const texts = collect(stream);
    await Promise.resolve();
    stream.push({ index: 0, text: 'a', tokenIds: [1] });
    await new Promise((resolve) => setTimeout(resolve, 1));
    stream.push({ index: 0, text: 'b', tokenIds: [2] });
    stream.finish(RESULT);
    expect(await texts).toEqual(['0:a', '0:b']);
  });

  it('gives what was pushed before an error, then throws it', async () => {
    const stream = new GenerationStream(() => {});
    stream.push({ index: 0, text: 'a', tokenIds: [1] });
    stream.fail(new AbortError());
    const texts: string[] = [];
    await expect(
      (async () => {
        for await (const { text } of stream) texts.push(text);
      })(),
    ).rejects.toThrow(AbortError);
    expect(texts).toEqual(['a']);
  });

  it('leaving early abandons the request once; reading to the end does not', async () => {
    const onAbandon = vi.fn();
    const left = new GenerationStream(onAbandon);
    left.push({ index: 0, text: 'a', tokenIds: [1] });
    for await (const _ of left) break;
    expect(onAbandon).toHaveBeenCalledTimes(1);
    const read = new GenerationStream(onAbandon);
    read.finish(RESULT);
    await collect(read);
    expect(onAbandon).toHaveBeenCalledTimes(1);
  });
});

describe('an iterator by itself, as Readable.from uses it', () => {
  it('abandons the request when it is left before anything was read', async () => {
    const onAbandon = vi.fn();
    const chunks = new GenerationStream(onAbandon)[Symbol.asyncIterator]();
    expect(await chunks.return!()).toEqual({ done: true, value: undefined });
    expect(await chunks.return!()).toEqual({ done: true, value: undefined });
    expect(onAbandon).toHaveBeenCalledTimes(1);
    expect(await chunks.next()).toEqual({ done: true, value: undefined });
  });

  it('and while somebody waits for the first token', async () => {
    const onAbandon = vi.fn();
    const source = Readable.from(new GenerationStream(onAbandon));
    source.read();
    await new Promise((resolve) => setTimeout(resolve, 1));
    source.destroy();
    await once(source, 'close');
    expect(onAbandon).toHaveBeenCalledTimes(1);
  });

  it('serves two calls at once in their order, and fails one of them', async () => {
    const stream = new GenerationStream(() => {});
    const chunks = stream[Symbol.asyncIterator]();
    const calls = Promise.allSettled([chunks.next(), chunks.next(), chunks.next()]);
    stream.push({ index: 0, text: 'a', tokenIds: [1] });
    await Promise.resolve();
    stream.fail(new AbortError());
    expect((await calls).map((call) => (call.status === 'rejected' ? 'failed' : call.value.value?.text))).toEqual([
      'a',
      'failed',
      undefined,
    ]);
  });
});

describe('result', () => {
  it('settles once; later pushes and failures change nothing', async () => {
    const stream = new GenerationStream(() => {});
    stream.finish(RESULT);
    stream.fail(new Error('late'));
    stream.push({ index: 0, text: 'late', tokenIds: [] });
    expect(await stream.result).toBe(RESULT);
    expect(await collect(stream)).toEqual([]);
  });

  it('a failure that nobody looks at is not an unhandled rejection', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    new GenerationStream(() => {}).fail(new Error('nobody looks'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });
});

describe('toReadableStream', () => {
  it('carries the first choice as UTF-8', async () => {
    const stream = new GenerationStream(() => {});
    stream.push({ index: 1, text: 'other', tokenIds: [5] });
    stream.push({ index: 0, text: 'grün 🦙', tokenIds: [1] });
    stream.finish(RESULT);
    expect(await new Response(stream.toReadableStream()).text()).toBe('grün 🦙');
  });

  it('cancelling aborts a request that has produced nothing yet', async () => {
    const onAbandon = vi.fn();
    const reader = new GenerationStream(onAbandon).toReadableStream().getReader();
    void reader.read();
    await reader.cancel();
    expect(onAbandon).toHaveBeenCalled();
  });
});
