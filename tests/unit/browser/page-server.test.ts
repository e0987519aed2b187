/** What the page's server gives, and to whom; and that the page asks for nothing that is not there. */
import { existsSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { dirname, join, resolve } from 'node:path';
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
])('does not give %s', async (path) => {
  // `fetch` would tidy the path.
  const { host } = new URL(server.url);
  const [hostname, port] = host.split(':') as [string, string];
  const status = await new Promise((resolve) => {
    get({ hostname, port, path: `/${path}` }, (response) => resolve(response.resume().statusCode));
  });
  expect(status).toBe(404);
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

it('the import map names every module that the engine imports and is not its own', () => {
  const html = readFileSync(join(ROOT, 'browser/index.html'), 'utf8');
  const map = JSON.parse(/<script type="importmap">([\s\S]*?)<\/script>/.exec(html)![1]!) as {
    readonly imports: Readonly<Record<string, string>>;
  };
  for (const target of Object.values(map.imports)) expect(existsSync(join(ROOT, target)), target).toBe(true);
  const needed = bareImportsFrom(join(ROOT, 'browser/page.ts'), map.imports);
  expect([...needed].toSorted()).toEqual(Object.keys(map.imports).toSorted());
});

/** Everything that is imported by name from the graph of a file: statically, and where the engine loads on demand. */
function bareImportsFrom(entry: string, standIns: Readonly<Record<string, string>>): ReadonlySet<string> {
  const bare = new Set<string>();
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const code = readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*/gm, '');
    const statics = code.matchAll(/^(?:import|export)\s+(?!type\b)([^'";]*?\sfrom\s+)?'([^']+)'/gm);
    const named = [...statics].filter(([, names = '']) => !isTypesOnly(names)).map(([, , target]) => target!);
    const dynamic = [...code.matchAll(/await import\('([^']+)'\)/g)].map(([, target]) => target!);
    for (const target of [...named, ...dynamic]) {
      if (target.startsWith('.')) {
        if (target.endsWith('.ts')) visit(resolve(dirname(file), target));
        continue;
      }
      bare.add(target);
      if (standIns[target]?.startsWith('/browser/')) visit(join(ROOT, standIns[target]));
    }
  };
  visit(entry);
  return bare;
}

/** `{ type A, type B } from`. */
function isTypesOnly(names: string): boolean {
  const list = /^\{([\s\S]*)\}\s*from\s+$/.exec(names)?.[1];
  const entries = list?.split(',').map((entry) => entry.trim());
  return entries?.every((entry) => entry === '' || entry.startsWith('type ')) ?? false;
}
