/** Law 5: imports go downward only, and never in a circle. The order of the layers is written down here, once. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');

/** From the bottom to the top. A file may import its own layer and those above it in this list. */
const LAYERS: readonly (readonly string[])[] = [
  ['engine/errors.ts', 'engine/util'],
  ['engine/tensor'],
  ['formats'],
  ['engine/kernels', 'engine/tokenizer', 'engine/sampling'],
  ['engine/kvcache', 'engine/chat'],
  ['engine/scheduler', 'engine/model'],
  ['engine/runner', 'engine/loader', 'engine/prompt-cache', 'engine/synth', 'engine/convert'],
  ['engine/inspect'],
  ['engine'],
  ['cli'],
];

/** Layers below which `formats` lies in the list, but which must not know files. */
const NO_FORMATS = [
  'engine/kernels',
  'engine/tokenizer',
  'engine/sampling',
  'engine/kvcache',
  'engine/scheduler',
  'engine/model',
  'engine/runner',
];

/** Every source file with the files it imports, relative to the root. */
const imports = readImports();

function readImports(): ReadonlyMap<string, readonly string[]> {
  const files = ['engine', 'formats', 'cli'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.c?ts$/.test(name))
      .map((name) => join(folder, name)),
  );
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(ROOT, file), 'utf8');
      const targets = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) =>
        relative(ROOT, resolve(ROOT, dirname(file), match[1]!)),
      );
      return [file, targets];
    }),
  );
}

function layerOf(file: string): number {
  let [best, bestLength] = [-1, -1];
  for (const [rank, places] of LAYERS.entries()) {
    for (const place of places) {
      const isInside = file === place || file.startsWith(`${place}/`);
      if (isInside && place.length > bestLength) [best, bestLength] = [rank, place.length];
    }
  }
  return best;
}

describe('imports', () => {
  it('were found at all', () => {
    expect(imports.size).toBeGreaterThan(100);
    expect([...imports.values()].flat().length).toBeGreaterThan(300);
  });

  it('name files that exist', () => {
    const missing = [...imports].flatMap(([file, targets]) =>
      targets.filter((target) => !imports.has(target)).map((target) => `${file} -> ${target}`),
    );
    expect(missing).toEqual([]);
  });

  it('go downward only', () => {
    const upward = [...imports].flatMap(([file, targets]) =>
      targets.filter((target) => layerOf(target) > layerOf(file)).map((target) => `${file} -> ${target}`),
    );
    expect(upward).toEqual([]);
  });

  it('leave files to the loader', () => {
    const wrong = [...imports].flatMap(([file, targets]) =>
      NO_FORMATS.some((place) => file.startsWith(`${place}/`))
        ? targets.filter((target) => target.startsWith('formats/')).map((target) => `${file} -> ${target}`)
        : [],
    );
    expect(wrong).toEqual([]);
  });

  it('form no circle', () => {
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      const start = path.indexOf(file);
      if (start !== -1) expect.fail(`circle: ${[...path.slice(start), file].join(' -> ')}`);
      if (done.has(file)) return;
      for (const target of imports.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of imports.keys()) visit(file, []);
  });
});

it('docs/architecture.md draws the layers in this order', () => {
  const page = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
  const [, drawn = ''] = /^```text\n(.*?)^```/ms.exec(page) ?? [];
  const names = [...drawn.matchAll(/^(\S+) {2}/gm)].map(([, name]) => name!);
  // The page goes from the top to the bottom, and may order a layer as it likes.
  let rest = names;
  for (const layer of LAYERS.toReversed()) {
    expect(rest.slice(0, layer.length).toSorted()).toEqual([...layer].toSorted());
    rest = rest.slice(layer.length);
  }
  expect(rest).toEqual([]);
});

it('bookkeeping is pure: scheduler and KV-cache management know no tensors, no clock of their own, no randomness', () => {
  for (const [file, targets] of imports) {
    const isBookkeeping = /^engine\/(scheduler|kvcache)\//.test(file) && !file.endsWith('kv-cache-storage.ts');
    if (!isBookkeeping) continue;
    expect(
      targets.filter((target) => /^engine\/(tensor|kernels)\//.test(target)),
      file,
    ).toEqual([]);
    const code = readFileSync(join(ROOT, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
    expect(code, file).not.toMatch(/Math\.random|Date\.now|performance\.|setTimeout|setInterval/);
  }
});

it('modules run nothing that waits when they are imported: no top-level await in the library', () => {
  for (const file of imports.keys()) {
    const code = readFileSync(join(ROOT, file), 'utf8');
    expect(code, file).not.toMatch(/^(?:const [^=]+= )?await /m);
  }
});
