/** The documents must not promise what is not there: every relative link leads to a file, every `#` to a heading, and every
 * command is one that can be given. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildProgram } from '../cli/main.ts';

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

/** Commands of a page: lines of code, and code within a line. The name of a verb alone is none. */
function commandsIn(page: string): string[] {
  const blocks = [...readFileSync(page, 'utf8').matchAll(/^```sh\n(.*?)^```/gms)].map(([, block]) => block!);
  const inline = [...proseOf(page).matchAll(/`([^`]+)`/g)].map(([, code]) => code!.replace(/\s+/g, ' '));
  return [...blocks.flatMap((block) => block.split('\n')), ...inline]
    .flatMap(toCommand)
    .filter((words) => / /.test(words));
}

/** What follows the program's name in `quern run`, `npx quern run`, `node bin/quern.js run` and `... | quern run`. */
function toCommand(line: string): string[] {
  const [, words] = /^(?:.*\| )?(?:npx |node bin\/)?quern(?:\.js)? ([a-z]+\b.*)$/.exec(line.trim()) ?? [];
  return words === undefined ? [] : [words.replace(/ {2,}#.*/, '').trim()];
}

function wordsOf(command: string): string[] {
  return [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c!);
}

/** What the command line has against a command; it is not run. */
async function problemOf(command: string): Promise<string | undefined> {
  const program = buildProgram();
  let problem: string | undefined;
  for (const each of [program, ...program.commands]) each.configureOutput({ writeErr: (text) => (problem ??= text) });
  for (const each of program.commands) each.action(() => {});
  await program.parseAsync(wordsOf(command), { from: 'user' }).catch(() => {});
  return problem;
}

/** What every `--help` shows. */
function helpTexts(): string {
  let text = '';
  for (const command of buildProgram().commands) {
    command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
  }
  return text;
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

  it('shows commands that can be given, and scripts that there are', async () => {
    const commands = [...pages.flatMap(commandsIn), ...helpTexts().split('\n').flatMap(toCommand)];
    expect(commands.length).toBeGreaterThan(40);
    const problems = [];
    for (const command of commands) {
      const problem = await problemOf(command);
      if (problem !== undefined) problems.push(`quern ${command}: ${problem}`);
    }
    expect(problems).toEqual([]);

    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const named = pages.flatMap((page) =>
      [...readFileSync(page, 'utf8').matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name!),
    );
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  it('is complete: every page can be reached from docs/README.md', () => {
    const reached = relativeLinks(join(DOCS, 'README.md')).map((target) => resolve(DOCS, target.split('#')[0]!));
    const pages = readdirSync(DOCS).filter((name) => name.endsWith('.md') && name !== 'README.md');
    const lonely = pages.filter((name) => !reached.includes(join(DOCS, name)));
    expect(lonely).toEqual([]);
  });
});
