/** The documents must not promise what is not there: every relative link leads to a file, and every `#` to a heading. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');
const DOCS = join(ROOT, 'docs');

const pages = [
  join(ROOT, 'README.md'),
  join(ROOT, 'models/README.md'),
  ...readdirSync(DOCS)
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(DOCS, name)),
];

/** A page without its code, where brackets are not links and # is no heading. */
function proseOf(page: string): string {
  return readFileSync(page, 'utf8').replace(/^```.*?^```/gms, '');
}

/** Targets of `[text](target)` that are not on the web. */
function relativeLinks(page: string): string[] {
  const links = proseOf(page)
    .replace(/`[^`\n]*`/g, '')
    .matchAll(/\]\(([^)\s]+)\)/g);
  return [...links].map(([, target]) => target!).filter((target) => !/^[a-z]+:/.test(target));
}

/** The names that GitHub gives to a page's headings. */
function anchorsOf(page: string): string[] {
  return [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );
}

function isBroken(page: string, target: string): boolean {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? page : resolve(dirname(page), path);
  if (!existsSync(file)) return true;
  return anchor !== undefined && file.endsWith('.md') && !anchorsOf(file).includes(anchor);
}

describe('documentation', () => {
  it('has links', () => {
    expect(pages.length).toBeGreaterThan(20);
    expect(pages.flatMap(relativeLinks).length).toBeGreaterThan(150);
  });

  it('links to what is there', () => {
    const broken = pages.flatMap((page) =>
      relativeLinks(page)
        .filter((target) => isBroken(page, target))
        .map((target) => `${relative(ROOT, page)} -> ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('is complete: every page can be reached from docs/README.md', () => {
    const reached = relativeLinks(join(DOCS, 'README.md')).map((target) => resolve(DOCS, target.split('#')[0]!));
    const pages = readdirSync(DOCS).filter((name) => name.endsWith('.md') && name !== 'README.md');
    const lonely = pages.filter((name) => !reached.includes(join(DOCS, name)));
    expect(lonely).toEqual([]);
  });
});
