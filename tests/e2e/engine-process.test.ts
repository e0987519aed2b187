/** A guest in somebody else's process (law 9): importing starts nothing, closing leaves nothing, and neither a handle nor
 * a rejection that nobody looks at can keep the process alive or end it. Each case is a process of its own. */
import { spawn } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const INDEX = new URL('../../engine/index.ts', import.meta.url).href;

beforeAll(() => writeTinyModel(folder.at('tiny.gguf'), TINY));

/** Runs the body of a module that has `Engine`, `path` and `snapshot()`, and must end by itself.
 * @returns what it printed as JSON, one entry per line */
async function run(body: string): Promise<unknown[]> {
  const source = `
    import process from 'node:process';
    const path = ${JSON.stringify(folder.at('tiny.gguf'))};
    const snapshot = () => ({
      resources: process.getActiveResourcesInfo().filter((name) => !/^(Pipe|TTY|FSReq|File)/.test(name)),
      listeners: process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
    });
    const print = (value) => console.log(JSON.stringify(value));
    process.on('unhandledRejection', (error) => { print({ unhandled: String(error) }); process.exit(3); });
    const before = snapshot();
    const { Engine } = await import(${JSON.stringify(INDEX)});
    ${body}`;
  const child = spawn(
    process.execPath,
    ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', source],
    {
      timeout: 30_000,
    },
  );
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...how) => resolve(how));
  });
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

describe('the host process', () => {
  it('notices nothing of an import', async () => {
    const [before, after] = await run('print(before); print(snapshot());');
    expect(after).toEqual(before);
  });

  it.each([0, 2])('is as it was once an engine with %i threads is closed', async (numThreads) => {
    const [before, text, after] = await run(`
      print(before);
      const engine = await Engine.load(path, { numThreads: ${numThreads}, maxModelLen: 64 });
      const signal = new AbortController().signal;
      const { text } = await engine.generate('abc', { max_tokens: 5, temperature: 0, signal, deadlineMs: 60_000 }).result;
      await engine.score('abc', { deadlineMs: 60_000 });
      print(text);
      await engine.close();
      await new Promise((resolve) => setImmediate(resolve));
      print(snapshot());`);
    expect(typeof text).toBe('string');
    expect(after).toEqual(before);
  });

  it('can end although nobody closed the engine', async () => {
    const [text] = await run(`
      const engine = await Engine.load(path, { numThreads: 2, maxModelLen: 64 });
      print((await engine.generate('abc', { max_tokens: 5 }).result).text);`);
    expect(typeof text).toBe('string');
  });

  it('is not ended by failures that nobody looks at', async () => {
    const printed = await run(`
      const engine = await Engine.load(path, { numThreads: 1, maxModelLen: 64, maxNumQueuedRequests: 1 });
      engine.generate('abc');
      engine.generate('full');
      engine.generate('a prompt that is longer than the context of the model, which here has only 64 places'.repeat(3));
      engine.generate('abc', { signal: AbortSignal.abort() });
      const stream = engine.generate('abc');
      stream.cancel();
      await engine.close();
      engine.generate('abc');
      await new Promise((resolve) => setTimeout(resolve, 20));
      print('alive');`);
    expect(printed).toEqual(['alive']);
  });

  it('prints no warning when one signal serves many requests', async () => {
    const printed = await run(`
      const engine = await Engine.load(path, { numThreads: 0, maxModelLen: 64 });
      const { signal } = new AbortController();
      await Promise.all(Array.from({ length: 40 }, () => engine.generate('abc', { max_tokens: 2, signal }).result));
      await engine.close();
      print('done');`);
    expect(printed).toEqual(['done']);
  });
});
