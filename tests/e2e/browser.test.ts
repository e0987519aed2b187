/** The page in a real browser: the library's own engine, its kernels compiled by gpu.js, on Chromium's WebGPU (whose GPU is
 * software here), tells the story that the reference tells. */
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PageServer, startPageServer } from '../../browser/page-server.ts';
import { type BundledModel, bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';
import { CHROMIUM_FLAGS, chromiumSkipNote, findChromium } from '../helpers/chromium.ts';

const found = findChromium();
const NUM_TOKENS = 40;
/** Ten seconds on a quiet machine; a GPU of software feels every neighbour. */
const TIMEOUT_MS = 170_000;

async function referenceStory(model: BundledModel, prompt: string): Promise<string> {
  await using engine = await Engine.load(bundledModelPath(model), { backend: 'reference', numThreads: 0 });
  return (await engine.generate(prompt, { temperature: 0, max_tokens: NUM_TOKENS }).result).text;
}

describe.skipIf(found === undefined)(`in a browser${chromiumSkipNote}`, { timeout: TIMEOUT_MS + 10_000 }, () => {
  let server: PageServer;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];
  const modelRequests: (string | undefined)[] = [];

  beforeAll(async () => {
    server = await startPageServer();
    const { path, env } = found!;
    browser = await chromium.launch({ executablePath: path, args: CHROMIUM_FLAGS, env: { ...process.env, ...env } });
    page = await browser.newPage();
    page.on('pageerror', ({ message }) => errors.push(message));
    page.on('request', (request) => {
      if (request.method() === 'GET' && request.url().endsWith('.gguf')) modelRequests.push(request.headers().range);
    });
    await page.goto(server.url);
    await page.waitForSelector('body[data-state=ready]', { timeout: 15_000 }).catch(() => {});
    // Modules that do not load say why here.
    expect(errors).toEqual([]);
  }, 30_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  /** Fills in the form, waits for the end, and takes what the page shows. */
  async function tell(form: { readonly model: BundledModel; readonly backend: string; readonly prompt: string }) {
    await page.selectOption('#model', form.model);
    await page.selectOption('#backend', form.backend);
    await page.fill('#prompt', form.prompt);
    await page.fill('#tokens', String(NUM_TOKENS));
    await page.click('#tell');
    await page.waitForSelector('body[data-state=done], body[data-state=failed]', { timeout: TIMEOUT_MS });
    return { story: await page.textContent('#story'), status: await page.textContent('#status') };
  }

  it.each([
    { model: 'story', backend: 'gpujs', prompt: 'Once upon a time' },
    { model: 'draft', backend: 'webgpu', prompt: 'The fox said' },
  ] as const)('the model $model tells the story of the reference on $backend', async (form) => {
    const { story, status } = await tell(form);
    expect(errors).toEqual([]);
    expect(status).toMatch(new RegExp(`^${NUM_TOKENS} tokens on ${form.backend}, .*tokens/s$`));
    expect(story).toBe(form.prompt + (await referenceStory(form.model, form.prompt)));
  });

  it('samples too, from the model that is loaded already', async () => {
    const numRequests = modelRequests.length;
    await page.fill('#temperature', '1');
    const { story, status } = await tell({ model: 'draft', backend: 'webgpu', prompt: 'The fox said' });
    expect(status).toMatch(/^\d+ tokens on webgpu/);
    expect(story!.length).toBeGreaterThan('The fox said'.length);
    expect([errors, modelRequests.length]).toEqual([[], numRequests]);
  });

  it('reads the model in ranges, never as a whole', () => {
    expect(modelRequests.length).toBeGreaterThan(10);
    for (const range of modelRequests) expect(range).toMatch(/^bytes=\d+-\d+$/);
  });
});
