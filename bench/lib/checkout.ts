/** An engine of some checkout of Quern, for benches in which several take turns. */
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Engine, EngineOptions } from '../../engine/index.ts';

export interface Checkout {
  readonly commit: string;
  readonly engine: Engine;
}

export async function openCheckout(folder: string, model: string, options: EngineOptions): Promise<Checkout> {
  const { Engine } = (await import(pathToFileURL(resolve(folder, 'engine/index.ts')).href)) as {
    readonly Engine: { load(path: string, options: EngineOptions): Promise<Engine> };
  };
  const engine = await Engine.load(model, options);
  const commit = execFileSync('git', ['-C', resolve(folder), 'rev-parse', '--short=12', 'HEAD'], { encoding: 'utf8' });
  return { commit: commit.trim(), engine };
}

/** Greedy.
 * @returns ms until each token; the first comes after the prompt */
export async function tokenTimes(engine: Engine, prompt: number[], maxTokens: number): Promise<number[]> {
  const times: number[] = [];
  let last = performance.now();
  for await (const _ of engine.generate(prompt, { max_tokens: maxTokens, temperature: 0, ignore_eos: true })) {
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  return times;
}
