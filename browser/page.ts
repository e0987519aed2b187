/** The page: loads a bundled model when a story is first wanted, and shows the story as it comes. All of the engine in here
 * is the library's own; `node/` stands in for what a browser lacks. */
import './node/globals.ts';
import { Engine } from '../engine/engine.ts';

const MODELS: Readonly<Record<string, string>> = {
  story: '/models/story-4m-q8_0.gguf',
  draft: '/models/story-draft-q8_0.gguf',
};

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const inputValue = (id: string): string => element<HTMLInputElement>(id).value;

/** The model in memory, and what it was loaded for. */
let loaded: { readonly key: string; readonly engine: Engine } | undefined;
let stopping: AbortController | undefined;

/** Says what goes on. `state` is for whoever watches the page from outside. */
function report(state: 'loading' | 'running' | 'done' | 'failed', text: string): void {
  const status = element('status');
  status.textContent = text;
  status.classList.toggle('error', state === 'failed');
  document.body.dataset.state = state;
}

async function engineFor(model: string, backend: string): Promise<Engine> {
  const key = `${model} ${backend}`;
  if (loaded?.key === key) return loaded.engine;
  await loaded?.engine.close();
  loaded = undefined;
  const engine = await Engine.load(MODELS[model]!, {
    backend,
    numThreads: 0,
    maxModelLen: 512,
    maxNumSeqs: 1,
    onProgress: ({ loadedBytes, totalBytes }) =>
      report('loading', `Loading ${model}: ${Math.round((100 * loadedBytes) / totalBytes)} %`),
  });
  loaded = { key, engine };
  return engine;
}

async function tell(): Promise<void> {
  const story = element('story');
  story.textContent = '';
  report('loading', 'Loading');
  const startMs = performance.now();
  const engine = await engineFor(inputValue('model'), inputValue('backend'));
  const readyMs = performance.now();
  report('running', 'Compiling kernels');

  stopping = new AbortController();
  const prompt = inputValue('prompt');
  const stream = engine.generate(prompt, {
    max_tokens: Number(inputValue('tokens')),
    temperature: Number(inputValue('temperature')),
    signal: stopping.signal,
  });
  const begin = document.createElement('b');
  begin.textContent = prompt;
  story.append(begin);
  let firstMs = 0;
  let numTokens = 0;
  for await (const { text } of stream) {
    firstMs ||= performance.now();
    story.append(text);
    numTokens++;
    report('running', `${numTokens} tokens`);
  }
  const { usage } = await stream.result;
  const speed = (1000 * (usage.numGeneratedTokens - 1)) / (performance.now() - firstMs);
  report('done', summary(engine, { loadMs: readyMs - startMs, firstMs: firstMs - readyMs, speed }));
}

function summary(
  engine: Engine,
  { loadMs, firstMs, speed }: { readonly loadMs: number; readonly firstMs: number; readonly speed: number },
): string {
  const { backend, features, numGeneratedTokens } = engine.stats();
  const { hardware } = features;
  const where = hardware === undefined || hardware.used ? 'a GPU' : hardware.reason;
  return [
    `${numGeneratedTokens} tokens on ${backend}, ${where}`,
    `loaded in ${loadMs.toFixed(0)} ms`,
    `first token after ${firstMs.toFixed(0)} ms`,
    `then ${speed.toFixed(1)} tokens/s`,
  ].join('; ');
}

async function run(): Promise<void> {
  const [start, stop] = [element<HTMLButtonElement>('tell'), element<HTMLButtonElement>('stop')];
  start.disabled = true;
  stop.disabled = false;
  try {
    await tell();
  } catch (error) {
    if (stopping?.signal.aborted) report('done', 'Stopped.');
    else report('failed', error instanceof Error ? error.message : String(error));
  } finally {
    start.disabled = false;
    stop.disabled = true;
  }
}

element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});
element('stop').addEventListener('click', () => stopping?.abort());
element<HTMLButtonElement>('tell').disabled = false;
document.body.dataset.state = 'ready';
