/** A page without a bundle fails as a whole when one module it reaches imports a name that the import map lacks. Chromium
 * would tell, where there is one; this tells everywhere. */
import { existsSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../../..');

/** What the page's modules import by name, following relative imports; types are gone, as when they are served. */
function importedNames(entry: string): Set<string> {
  const names = new Set<string>();
  const seen = new Set([entry]);
  for (const file of seen) {
    const text = stripTypeScriptTypes(readFileSync(file, 'utf8'));
    for (const [, target] of text.matchAll(/^\s*(?:import|export)\s[\w\s{},*$]*?'([^']+)'/gm)) {
      if (target!.startsWith('.')) seen.add(resolve(dirname(file), target!));
      else names.add(target!);
    }
  }
  return names;
}

it('the import map has every name that the page imports, and what it names exists', () => {
  const html = readFileSync(join(ROOT, 'browser/index.html'), 'utf8');
  const map = /<script type="importmap">(.*?)<\/script>/s.exec(html)![1]!;
  const { imports } = JSON.parse(map) as { imports: Record<string, string> };
  const names = importedNames(join(ROOT, 'browser/page.ts'));
  expect(names.size).toBeGreaterThan(8);
  expect([...names].filter((name) => imports[name] === undefined)).toEqual([]);
  expect(Object.values(imports).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});
