/** The example in docs/kernels.md runs, and prints what the page says. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const PAGE = new URL('../../../docs/kernels.md', import.meta.url);
const ENTRY = new URL('../../../engine/kernels/index.ts', import.meta.url);

function block(page: string, language: string): string {
  const found = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(page);
  if (found === null) throw new Error(`docs/kernels.md has no ${language} block`);
  return found[1]!;
}

it('docs/kernels.md: the example prints what the page says', async () => {
  const page = await readFile(PAGE, 'utf8');
  // The package's own entry point, from source rather than from a build.
  const example = block(page, 'js').replace("'quern/kernels'", JSON.stringify(ENTRY.href));
  expect(example).toContain(ENTRY.href);
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', example]);
  expect(stdout).toBe(block(page, 'text'));
});
