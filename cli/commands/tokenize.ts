/** `quern tokenize`: text in, token ids out. */
import type { Command } from 'commander';
import { InvalidArgumentError } from '../../engine/errors.ts';
import type { EncodeOptions, Tokenizer } from '../../engine/tokenizer/index.ts';
import { jsonLines } from '../json-lines.ts';
import { addModelPathOptions } from '../model-options.ts';
import { openTokenizer, type TokenizerOptions } from '../open-tokenizer.ts';
import { printable, printableJson } from '../printable.ts';
import { readStdin } from '../stdin.ts';
import { tableLines } from '../table.ts';
import { print, printLine } from '../terminal.ts';

interface TokenizeOptions extends TokenizerOptions {
  readonly addSpecial?: true;
  readonly parseSpecial?: true;
  readonly jsonl?: true;
  readonly json?: true;
}

export function addTokenizeCommand(program: Command): void {
  const command = program
    .command('tokenize')
    .description('turn text into token ids')
    .argument('[text]', 'text to tokenize; - reads it from stdin');
  addModelPathOptions(command)
    .option('--add-special', "put the model's own tokens around the text, as BOS")
    .option('--parse-special', 'read special tokens such as <|im_end|> in the text as tokens')
    .option('--jsonl', 'read one JSON string per line of stdin, write one JSON array of ids per line')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExample:\n  quern tokenize "Once upon a time"\n  echo \'"Once upon a time"\' | quern tokenize --jsonl',
    )
    .action(tokenize);
}

async function tokenize(text: string | undefined, options: TokenizeOptions): Promise<void> {
  if (options.jsonl && text !== undefined) {
    throw new InvalidArgumentError('text', '--jsonl reads texts from stdin; give one or the other');
  }
  if (!options.jsonl && text === undefined) {
    throw new InvalidArgumentError('text', 'give a text, - to read it from stdin, or --jsonl');
  }
  const tokenizer = await openTokenizer(options);
  const encoding = { addSpecial: options.addSpecial === true, parseSpecial: options.parseSpecial === true };
  if (text === undefined) return tokenizeLines(tokenizer, encoding);
  await printTokens(tokenizer, text === '-' ? await readStdin() : text, encoding, options.json === true);
}

async function tokenizeLines(tokenizer: Tokenizer, encoding: EncodeOptions): Promise<void> {
  for await (const { value, fail } of jsonLines(process.stdin)) {
    if (typeof value !== 'string') throw fail(`must be a JSON string, is ${kindOf(value)}`);
    await printLine(`[${tokenizer.encode(value, encoding).join(',')}]`);
  }
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : `of type ${typeof value}`;
}

async function printTokens(
  tokenizer: Tokenizer,
  text: string,
  encoding: EncodeOptions,
  asJson: boolean,
): Promise<void> {
  const tokens = [...tokenizer.encode(text, encoding)];
  const pieces = tokens.map((id) => tokenizer.tokenText(id));
  if (asJson) {
    await printLine(printableJson({ text, tokens, pieces }));
    return;
  }
  const rows = tokens.map((id, i) => [String(id), printable(pieces[i]!)]);
  for (const line of tableLines(rows, { rightAligned: [0] })) await print(`${line}\n`);
}
