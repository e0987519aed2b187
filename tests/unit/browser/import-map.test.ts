/** A page without a bundle fails as a whole when one module it reaches imports a name that the import map lacks. Chromium
 * would tell, where there is one; this tells everywhere. */
import { existsSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../../..');

/** What the page's modules import that is not their own, and by which names, following relative imports and those that the
 * engine makes on demand; types are gone, as when they are served. */
function importsOf(entry: string, imports: Readonly<Record<string, string>>): ReadonlyMap<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const seen = new Set([entry]);
  for (const file of seen) {
    const text = stripTypeScriptTypes(readFileSync(file, 'utf8'));
    const statics = text.matchAll(/^\s*(?:import|export)\s(?:([\w\s{},*$]*?)\sfrom\s+)?'([^']+)'/gm);
    const dynamics = text.matchAll(/await ()import\('([^']+)'\)/g);
    for (const [, names = '', target] of [...statics, ...dynamics]) {
      if (target!.startsWith('.')) {
        seen.add(resolve(dirname(file), target!));
        continue;
      }
      const list = /\{([^}]*)\}/.exec(names)?.[1] ?? '';
      const wanted = list.split(',').map((name) => name.trim().split(/\s+as\s+/)[0]!);
      const known = found.get(target!) ?? new Set();
      for (const name of wanted) if (name !== '') known.add(name);
      found.set(target!, known);
      // What stands in for a module imports in its turn.
      const standIn = imports[target!];
      if (standIn?.startsWith('/browser/')) seen.add(join(ROOT, standIn));
    }
  }
  return found;
}

const html = readFileSync(join(ROOT, 'browser/index.html'), 'utf8');
const map = /<script type="importmap">(.*?)<\/script>/s.exec(html)![1]!;
const { imports } = JSON.parse(map) as { imports: Record<string, string> };
const needed = importsOf(join(ROOT, 'browser/page.ts'), imports);

it('the import map has what the page imports, nothing else, and what it names exists', () => {
  expect(needed.size).toBeGreaterThan(8);
  expect(Object.keys(imports).toSorted()).toEqual([...needed.keys()].toSorted());
  expect(Object.values(imports).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

it("what stands in for Node's modules has every name that is imported of them", async () => {
  const missing: string[] = [];
  for (const [module, names] of needed) {
    if (!module.startsWith('node:')) continue;
    const standIn = (await import(join(ROOT, imports[module]!))) as object;
    missing.push(...[...names].filter((name) => !(name in standIn)).map((name) => `${module} ${name}`));
  }
  expect(missing).toEqual([]);
});
