/** `quern detokenize`: token ids in, text out. */
import type { Command } from 'commander';
import { InvalidArgumentError } from '../../engine/errors.ts';
import type { Tokenizer } from '../../engine/tokenizer/index.ts';
import { jsonLines } from '../json-lines.ts';
import { addModelPathOptions } from '../model-options.ts';
import { openTokenizer, type TokenizerOptions } from '../open-tokenizer.ts';
import { tokenIdList } from '../option-parsers.ts';
import { printableJson } from '../printable.ts';
import { printLine, showText } from '../terminal.ts';

interface DetokenizeOptions extends TokenizerOptions {
  readonly skipSpecial?: true;
  readonly jsonl?: true;
  readonly json?: true;
}

export function addDetokenizeCommand(program: Command): void {
  const command = program
    .command('detokenize')
    .description('turn token ids into text')
    .argument('[ids...]', 'token ids, as in 1,403,407 or 1 403 407', (text, before: number[] | undefined) => [
      ...(before ?? []),
      ...tokenIdList(text),
    ]);
  addModelPathOptions(command)
    .option('--skip-special', 'leave out control tokens such as BOS')
    .option('--jsonl', 'read one JSON array of ids per line of stdin, write one JSON string per line')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      "\nExample:\n  quern detokenize 1739,328,645\n  echo '[1739,328,645]' | quern detokenize --jsonl",
    )
    .action(detokenize);
}

async function detokenize(ids: readonly number[] | undefined, options: DetokenizeOptions): Promise<void> {
  const hasIds = ids !== undefined && ids.length > 0;
  if (options.jsonl && hasIds)
    throw new InvalidArgumentError('ids', '--jsonl reads ids from stdin; give one or the other');
  if (!options.jsonl && !hasIds) throw new InvalidArgumentError('ids', 'give token ids, as in 1,403,407, or --jsonl');
  const tokenizer = await openTokenizer(options);
  const decoding = { skipSpecial: options.skipSpecial === true };
  if (!hasIds) return detokenizeLines(tokenizer, decoding);
  const unknown = firstUnknown(tokenizer, ids);
  if (unknown !== undefined) throw new InvalidArgumentError('ids', unknown);
  const text = tokenizer.decode(ids, decoding);
  if (options.json) await printLine(printableJson({ tokens: ids, text }));
  else await showText(process.stdout.isTTY ? `${text}\n` : text);
}

async function detokenizeLines(tokenizer: Tokenizer, decoding: { readonly skipSpecial: boolean }): Promise<void> {
  for await (const { value, fail } of jsonLines(process.stdin)) {
    if (!Array.isArray(value)) throw fail('must be a JSON array of token ids');
    const unknown = firstUnknown(tokenizer, value);
    if (unknown !== undefined) throw fail(unknown);
    await printLine(JSON.stringify(tokenizer.decode(value as number[], decoding)));
  }
}

/** What is wrong with the first thing that is no token of this vocabulary. */
function firstUnknown({ vocabSize }: Tokenizer, ids: readonly unknown[]): string | undefined {
  const isToken = (id: unknown): boolean => Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabSize;
  const index = ids.findIndex((id) => !isToken(id));
  if (index < 0) return undefined;
  return `${JSON.stringify(ids[index])} (number ${index + 1}) is not a token id below ${vocabSize}`;
}
