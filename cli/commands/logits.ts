/** `quern logits`: token ids in; greedy ids, and the raw logits of every row, out. For comparing with other engines. */
import { setImmediate } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { resolveMaxModelLen } from '../../engine/engine-options.ts';
import { AbortError, ContextLengthError, InvalidArgumentError } from '../../engine/errors.ts';
import { createBackend } from '../../engine/kernels/backend-registry.ts';
import { loadModel } from '../../engine/loader/load-model.ts';
import { scoreTokens } from '../../engine/runner/single-sequence.ts';
import { interruptSignal } from '../interrupt.ts';
import { addModelOptions, type ModelOptions } from '../model-options.ts';
import { tokenIdList, wholeNumber } from '../option-parsers.ts';
import { checkOutputName, RawFile } from '../output-file.ts';
import { printJson, printLine } from '../terminal.ts';

interface LogitsOptions extends ModelOptions {
  readonly tokens: readonly number[];
  readonly generate: number;
  readonly out?: string;
  readonly json?: true;
}

export function addLogitsCommand(program: Command): void {
  addModelOptions(program.command('logits').description('greedy continuation and raw logits of given token ids'))
    .addOption(
      new Option('--tokens <ids>', 'prompt token ids, as in 1,403,407').argParser(tokenIdList).makeOptionMandatory(),
    )
    .option('--generate <n>', 'tokens to add greedily, each fed back', wholeNumber(0), 0)
    .option('--out <file>', 'write raw little-endian float32 rows: one per prompt token, then one per token fed back')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExample:\n  quern logits --tokens 0,1739,328 --generate 8 --out logits.f32 --json')
    .action(logits);
}

async function logits(options: LogitsOptions): Promise<void> {
  if (options.out !== undefined) checkOutputName('--out', options.out);
  const signal = interruptSignal();
  const backend = await createBackend(options.backend);
  try {
    const model = await loadModel(options.model, backend, { signal, tokenizerPath: options.tokenizer });
    const { vocabSize, contextLength } = model.config;
    checkTokens(options.tokens, vocabSize);
    const numTokens = options.tokens.length + options.generate;
    const maxModelLen = resolveMaxModelLen(
      options.contextLength === undefined ? {} : { maxModelLen: options.contextLength },
      contextLength,
    );
    if (numTokens > maxModelLen) {
      throw new ContextLengthError(
        numTokens,
        maxModelLen,
        'use fewer --tokens, a smaller --generate or a larger --context-length',
      );
    }
    const file = options.out === undefined ? undefined : await RawFile.create(options.out);
    const generated: number[] = [];
    let numRows = 0;
    try {
      for await (const { rows, next } of scoreTokens(model, options)) {
        // Steps on this thread follow one another without a turn of the event loop, in which Ctrl-C would arrive.
        await setImmediate();
        if (signal.aborted) throw new AbortError(signal.reason);
        await file?.append(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
        numRows += rows.length / vocabSize;
        if (next !== undefined) generated.push(next);
      }
    } finally {
      await file?.close();
    }
    if (options.json)
      await printJson({ tokens: generated, numRows, vocabSize, backend: backend.name, kvDtype: options.kvDtype });
    else await printLine(generated.join(','));
  } finally {
    await backend.close();
  }
}

function checkTokens(tokens: readonly number[], vocabSize: number): void {
  const bad = tokens.find((id) => id >= vocabSize);
  if (bad !== undefined) throw new InvalidArgumentError('--tokens', `${bad} is not a token id below ${vocabSize}`);
}
