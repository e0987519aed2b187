/** What the page's server gives, and to whom. */
import { existsSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PageServer, startPageServer } from '../../../browser/page-server.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const MODEL = 'models/story-draft-q8_0.gguf';

let server: PageServer;
beforeAll(async () => {
  server = await startPageServer();
});
afterAll(() => server.close());

const at = (path: string): string => new URL(path, server.url).href;

it('gives modules without their types', async () => {
  const response = await fetch(at('/engine/kernels/gpujs/kernels/add.ts'));
  expect(response.headers.get('content-type')).toMatch(/^text\/javascript/);
  const text = await response.text();
  expect(text).toContain('function add(');
  expect(text).not.toMatch(/import type|: Matrix/);
});

it('gives ranges of a model', async () => {
  const file = readFileSync(join(ROOT, MODEL));
  const head = await fetch(at(MODEL), { method: 'HEAD' });
  expect(head.headers.get('content-length')).toBe(String(file.length));
  const part = await fetch(at(MODEL), { headers: { range: 'bytes=10-19' } });
  expect(part.status).toBe(206);
  expect(part.headers.get('content-range')).toBe(`bytes 10-19/${file.length}`);
  expect(Buffer.from(await part.arrayBuffer())).toEqual(file.subarray(10, 20));
  const past = await fetch(at(MODEL), { headers: { range: `bytes=${file.length}-` } });
  expect(past.status).toBe(416);
});

it.each([
  'package.json',
  '.git/HEAD',
  'browser/../package.json',
  'browser/%2e%2e/package.json',
  'engine',
  'engine/none.ts',
  'engine/%zz.ts',
  'engine/%00.ts',
])('does not give %s', async (path) => {
  // `fetch` would tidy the path.
  const { host } = new URL(server.url);
  const [hostname, port] = host.split(':') as [string, string];
  const status = await new Promise((resolve) => {
    get({ hostname, port, path: `/${path}` }, (response) => resolve(response.resume().statusCode));
  });
  expect(status).toBe(404);
});

/** Packages have such files, here one that fast-check brings along. */
const EMPTY = 'node_modules/pure-rand/lib/esm/types/RandomGenerator.js';

it.skipIf(!existsSync(join(ROOT, EMPTY)))('gives an empty file', async () => {
  const response = await fetch(at(EMPTY));
  expect({ status: response.status, text: await response.text() }).toEqual({ status: 200, text: '' });
});

it('goes on when a reader leaves in the middle', async () => {
  const controller = new AbortController();
  const response = await fetch(at(MODEL), { signal: controller.signal });
  await response.body!.getReader().read();
  controller.abort();
  expect((await fetch(at('/'))).status).toBe(200);
});

it('takes nothing but questions', async () => {
  expect((await fetch(at('/'), { method: 'POST', body: 'x' })).status).toBe(404);
});

it('listens on the loopback interface only', async () => {
  const { port, hostname } = new URL(server.url);
  expect(hostname).toBe('127.0.0.1');
  const others = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).filter(({ internal }) => !internal));
  for (const { address, family } of others) {
    if (family !== 'IPv4') continue;
    await expect(fetch(`http://${address}:${port}/`)).rejects.toThrow();
  }
});
