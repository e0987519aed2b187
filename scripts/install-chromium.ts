/** Installs Debian's Chromium for the test of the page in `browser/`, where the machine has none.
 *
 *   npm run install:chromium        into .cache/chromium, 130 MB of packages; nothing outside changes
 *
 * `tests/helpers/chromium.ts` finds it there. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findChromium } from '../tests/helpers/chromium.ts';
import { CACHE, DebianPackages } from './debian/debian-packages.ts';

function install(): void {
  const found = findChromium();
  if (found !== undefined) {
    console.error(`Chromium is here already: ${found.path}`);
    return;
  }
  const folder = join(CACHE, 'chromium');
  rmSync(folder, { recursive: true, force: true });
  const debian = new DebianPackages();
  debian.unpack(debian.download(['chromium', 'chromium-common', 'fonts-dejavu-core']), folder);
  debian.forgetArchives();
  const path = findChromium()?.path;
  if (path === undefined || !existsSync(path)) throw new Error(`the package chromium brought no program to ${folder}`);
  console.error(`installed Chromium: ${path}`);
}

try {
  install();
} catch (error) {
  console.error(`Chromium: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
