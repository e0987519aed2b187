/** A Chromium to test the page with: the machine's own, or the one that `scripts/install-chromium.ts` unpacked. */
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const UNPACKED = resolve(import.meta.dirname, '../../.cache/chromium');

/** Headless, with WebGPU on its own software GPU, and no use of the network. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--headless=new',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--disable-gpu-sandbox',
  '--no-first-run',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface FoundChromium {
  readonly path: string;
  /** To add to its environment. */
  readonly env: Readonly<Record<string, string>>;
}

export function findChromium(): FoundChromium | undefined {
  const system = '/usr/bin/chromium';
  if (existsSync(system)) return { path: system, env: {} };
  const path = join(UNPACKED, 'usr/lib/chromium/chromium');
  if (!existsSync(path)) return undefined;
  // Packages keep libraries in folders of their own below that of the architecture.
  const libraries = join(UNPACKED, 'usr/lib/x86_64-linux-gnu');
  const folders = readdirSync(libraries, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const all = [libraries, ...folders.map(({ name }) => join(libraries, name))];
  return { path, env: { LD_LIBRARY_PATH: all.join(':') } };
}

/** Append to a suite's title, so that a skip says why and what helps. */
export const chromiumSkipNote: string =
  findChromium() === undefined ? ' [skipped: there is no Chromium; npm run install:chromium brings one]' : '';
