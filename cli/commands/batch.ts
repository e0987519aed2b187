/** `quern batch`: prompts from a JSONL file, answers into another, all in one continuous batch. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { EngineOptions } from '../../engine/engine-options.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import type { BatchLine, BatchRequest, BatchSource } from '../batch/batch-input.ts';
import { batchProgress } from '../batch/batch-progress.ts';
import { runBatch } from '../batch/batch-run.ts';
import { type BatchPlan, checkNotSameFile, planBatch, unfinishedLines } from '../batch/plan-batch.ts';
import { ResultFile } from '../batch/result-file.ts';
import { EXIT } from '../exit-codes.ts';
import { interruptSignal } from '../interrupt.ts';
import { loadEngine } from '../load-engine.ts';
import { addEngineOptions, type EngineFlags, toEngineOptions } from '../model-options.ts';
import { wholeNumber } from '../option-parsers.ts';
import { checkOutputName } from '../output-file.ts';
import { addSamplingFlags, type SamplingFlags, toSamplingOptions } from '../sampling-flags.ts';
import { note, printJson } from '../terminal.ts';

/** Most choices that one line may ask for. */
const MAX_CHOICES = 128;

interface BatchOptions extends EngineFlags, SamplingFlags {
  readonly out: string;
  readonly maxNumSeqs: number;
  readonly inOrder?: true;
  readonly includePrompt?: true;
  readonly includeTokens?: true;
  readonly parseSpecial?: true;
  readonly strict?: true;
  readonly json?: true;
}

export function addBatchCommand(program: Command): void {
  const command = program
    .command('batch')
    .description('answer the prompts of a JSONL file, all in one continuous batch')
    .argument('<in>', 'JSONL file, or - for stdin: {"prompt": "..."} or {"messages": [...]} in each line')
    .requiredOption('--out <file>', 'JSONL file to append answers to; run again with the same file to go on');
  addSamplingFlags(addEngineOptions(command))
    .option('--max-num-seqs <n>', 'requests that run at the same time', wholeNumber(1, 4096), 64)
    .option('--in-order', 'when all is done, put the answers into the order of the input')
    .option('--include-prompt', 'repeat the prompt, or the messages, in each answer')
    .option('--include-tokens', 'add the token ids to each answer')
    .option('--parse-special', 'read special tokens such as <|im_end|> in prompts as tokens')
    .option('--strict', 'stop at the first line that fails, instead of writing an error line for it')
    .option('--json', 'print one JSON object with the counts at the end')
    .addHelpText(
      'after',
      '\nA line may have an "id" and the options of the API (max_tokens, temperature, seed, stop, ...); the command line' +
        '\ngives their defaults. With --seed, the line with index i gets seed + i.' +
        '\n\nExample:\n  quern batch prompts.jsonl --out answers.jsonl --max-tokens 50 --seed 1' +
        '\n  echo \'{"prompt": "The sea", "temperature": 0}\' | quern batch - --out answers.jsonl',
    )
    .action((input: string, options: BatchOptions, self: Command) =>
      batch(input, options, (flag) => self.getOptionValueSource(flag) === 'default'),
    );
}

type IsDefault = (flag: string) => boolean;

async function batch(input: string, options: BatchOptions, isDefault: IsDefault): Promise<void> {
  checkOutputName('--out', options.out);
  const signal = interruptSignal();
  const source = { path: input, settings: settingsOf(options, isDefault) };
  checkNotSameFile(input, options.out);
  const results = await ResultFile.open(options.out);
  try {
    // The end of a pipe is known when it is reached.
    const plan = input === '-' ? undefined : await planBatch(source, results.finished, signal);
    const isDone = plan !== undefined && plan.alreadyDone === plan.total;
    const counts = isDone
      ? { answered: 0, failed: 0, numGeneratedTokens: 0, seconds: 0 }
      : await answerAll({ source, results, plan, options, isDefault, signal });
    if (signal.aborted) {
      note('quern: interrupted; the same command goes on where it stopped');
      process.exitCode = EXIT.interrupted;
      return;
    }
    if (options.inOrder) await results.sort();
    await report({ ...counts, alreadyDone: plan?.alreadyDone ?? 0 }, options);
  } finally {
    await results.close();
  }
}

interface Work {
  readonly source: BatchSource;
  readonly results: ResultFile;
  readonly plan: BatchPlan | undefined;
  readonly options: BatchOptions;
  readonly isDefault: IsDefault;
  readonly signal: AbortSignal;
}

async function answerAll({ source, results, plan, options, isDefault, signal }: Work): Promise<Counts> {
  await using engine = await loadEngine(options.model, engineOptions(options, signal));
  const progress = batchProgress({
    total: plan?.total,
    alreadyDone: plan?.alreadyDone ?? 0,
    numGeneratedTokens: () => engine.stats().numGeneratedTokens,
  });
  const startMs = performance.now();
  try {
    await runBatch({
      engine,
      results,
      lines: (stop) => unfinishedLines(source, results.finished, stop),
      optionsOf: (line, request) => optionsOf(line, request, { flags: options, isDefault }),
      record: { includePrompt: options.includePrompt ?? false, includeTokens: options.includeTokens ?? false },
      // As many queued as run: whatever ends is replaced within the same step.
      maxInFlight: 2 * options.maxNumSeqs,
      isStrict: options.strict ?? false,
      signal,
      onLine: (outcome) => progress[outcome]++,
    });
  } finally {
    progress.stop();
  }
  const { answered, failed } = progress;
  const { numGeneratedTokens } = engine.stats();
  return { answered, failed, numGeneratedTokens, seconds: (performance.now() - startMs) / 1000 };
}

function engineOptions(options: BatchOptions, signal: AbortSignal): EngineOptions {
  return {
    ...toEngineOptions(options),
    maxNumSeqs: options.maxNumSeqs,
    maxNumQueuedRequests: 2 * options.maxNumSeqs * MAX_CHOICES,
    signal,
  };
}

/** Everything on the command line that decides answers. Part of each line's hash, so that a later run with other options
 * does not pass for the same. */
function settingsOf(options: BatchOptions, isDefault: IsDefault): string {
  const { model, tokenizer, kvDtype, contextLength = null, parseSpecial = false } = options;
  const sampling = toSamplingOptions(options, isDefault);
  const names = { model: basename(model), ...(tokenizer === undefined ? {} : { tokenizer: basename(tokenizer) }) };
  return JSON.stringify({ ...names, kvDtype, contextLength, parseSpecial, ...sampling });
}

function optionsOf(
  { index }: BatchLine,
  { options }: BatchRequest,
  { flags, isDefault }: { readonly flags: BatchOptions; readonly isDefault: IsDefault },
): GenerateOptions {
  const temperature = typeof options.temperature === 'number' ? options.temperature : flags.temperature;
  return {
    ...toSamplingOptions({ ...flags, temperature }, isDefault),
    ...(flags.seed === undefined ? {} : { seed: flags.seed + index }),
    parseSpecial: flags.parseSpecial ?? false,
    ...options,
  };
}

/** What a run did. */
interface Counts {
  readonly answered: number;
  readonly failed: number;
  readonly numGeneratedTokens: number;
  readonly seconds: number;
}

async function report(counts: Counts & { readonly alreadyDone: number }, options: BatchOptions): Promise<void> {
  const { answered, failed, alreadyDone, numGeneratedTokens, seconds } = counts;
  const tokensPerSecond = seconds > 0 ? numGeneratedTokens / seconds : 0;
  if (options.json) await printJson({ answered, failed, alreadyDone, numGeneratedTokens, tokensPerSecond });
  if (process.stderr.isTTY) {
    note(
      `${answered} lines answered, ${alreadyDone} were before; ` +
        `${numGeneratedTokens} tokens in ${seconds.toFixed(1)} s, ${tokensPerSecond.toFixed(1)} tokens/s`,
    );
  }
  if (failed > 0) note(`quern: ${failed} of ${answered + failed} lines failed; their errors are in ${options.out}`);
  process.exitCode = failed > 0 ? EXIT.failure : EXIT.ok;
}
