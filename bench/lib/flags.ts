/** The flags of a benchmark that is a script of its own. `--help` shows the comment at the head of its file. */
import { readFileSync } from 'node:fs';
import { type ParseArgsConfig, type ParseArgsOptionsConfig, parseArgs } from 'node:util';

type Parsed<Options extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: Options; allowPositionals: true }>
>;

/** Ends the process for `--help`, and with a line for flags that do not exist.
 * @param file  the script's own, `import.meta.filename` */
export function readFlags<const Options extends ParseArgsOptionsConfig>(
  file: string,
  options: Options,
  { allowPositionals = false }: Pick<ParseArgsConfig, 'allowPositionals'> = {},
): Parsed<Options> {
  if (process.argv.includes('--help')) {
    process.stdout.write(headComment(readFileSync(file, 'utf8')));
    process.exit(0);
  }
  try {
    return parseArgs({ options, allowPositionals }) as Parsed<Options>;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n(--help shows what there is)\n`);
    process.exit(2);
  }
}

function headComment(source: string): string {
  const [, text = ''] = /^\/\*\* ?([\s\S]*?)\s*\*\//.exec(source) ?? [];
  return `${text.replace(/^ \* ?/gm, '')}\n`;
}
