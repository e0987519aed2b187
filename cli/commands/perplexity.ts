/** `quern perplexity`: how well a model predicts a text. */
import { Presets, SingleBar } from 'cli-progress';
import type { Command } from 'commander';
import type { Engine } from '../../engine/engine.ts';
import { AbortError, FormatError, InvalidArgumentError } from '../../engine/errors.ts';
import { EXIT } from '../exit-codes.ts';
import { interruptSignal } from '../interrupt.ts';
import { loadEngine } from '../load-engine.ts';
import { addEngineOptions, type EngineFlags, toEngineOptions } from '../model-options.ts';
import { wholeNumber } from '../option-parsers.ts';
import type { PerplexitySummary, RunningPerplexity } from '../perplexity/running-perplexity.ts';
import { scoreWindows } from '../perplexity/score-windows.ts';
import { readText } from '../perplexity/text-file.ts';
import { tokenChunks } from '../perplexity/token-chunks.ts';
import { tokenWindows, type WindowOptions } from '../perplexity/token-windows.ts';
import { note, printJson, printLine } from '../terminal.ts';

/** Windows with the engine at a time: enough that a step is full and the next window waits. */
const MAX_IN_FLIGHT = 4;
const DEFAULT_WINDOW = 512;

interface PerplexityOptions extends EngineFlags {
  readonly window?: number;
  readonly stride?: number;
  readonly maxWindows?: number;
  readonly bosEachWindow?: true;
  readonly parseSpecial?: true;
  readonly json?: true;
}

export function addPerplexityCommand(program: Command): void {
  const command = program
    .command('perplexity')
    .description('how well a model predicts a text: e to the mean negative log-likelihood per token')
    .argument('<file>', 'UTF-8 text; - reads it from stdin');
  addEngineOptions(command)
    .option(
      '--window <n>',
      'tokens scored at a time, up to the context and one more (default: 512, or the context)',
      wholeNumber(2),
    )
    .option('--stride <n>', 'from one window to the next, in tokens (default: window - 1)', wholeNumber(1))
    .option('--max-windows <n>', 'stop after so many windows (default: at the end of the text)', wholeNumber(1))
    .option('--bos-each-window', 'start each window with BOS in place of its first token, not only the first window')
    .option('--parse-special', 'read special tokens such as <|endoftext|> in the text as tokens')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nThe text is one stream of tokens, after BOS if the model adds it. Windows share one token, so that each token but' +
        '\nthe first is predicted once; a smaller --stride gives each prediction more context and takes longer.' +
        '\n\nExample:\n  quern perplexity story.txt --max-windows 20\n  quern perplexity story.txt --stride 256 --json',
    )
    .action(perplexity);
}

async function perplexity(path: string, options: PerplexityOptions): Promise<void> {
  const signal = interruptSignal();
  await using engine = await loadEngine(options.model, {
    ...toEngineOptions(options),
    maxNumSeqs: MAX_IN_FLIGHT,
    maxBatchSize: MAX_IN_FLIGHT,
    // All that will come is there already.
    maxWaitMs: 0,
    signal,
  });
  const windowOptions = resolveWindows(engine, options);
  const progress = runningValue();
  const startMs = performance.now();
  try {
    const { sums, numWindows } = await scoreWindows({
      engine,
      windows: tokenWindows(tokensOf(engine, path, options, signal), windowOptions),
      maxWindows: options.maxWindows ?? Number.POSITIVE_INFINITY,
      maxInFlight: MAX_IN_FLIGHT,
      signal,
      onWindow: progress.show,
    });
    if (signal.aborted) throw new AbortError();
    if (numWindows === 0) {
      const where = { file: path === '-' ? 'stdin' : path, byteOffset: 0, field: 'text' };
      throw new FormatError(where, 'has no token to predict');
    }
    progress.stop();
    const seconds = (performance.now() - startMs) / 1000;
    await report(sums.summary(), { ...windowOptions, numWindows, seconds, backend: engine.stats().backend }, options);
  } finally {
    progress.stop();
  }
}

/** @throws InvalidArgumentError */
function resolveWindows({ maxModelLen, tokenizer }: Engine, options: PerplexityOptions): WindowOptions {
  const window = options.window ?? Math.min(DEFAULT_WINDOW, maxModelLen);
  const stride = options.stride ?? window - 1;
  // The last token of a window is predicted and not read.
  if (window > maxModelLen + 1) {
    const limit = `the context of ${maxModelLen} tokens and the one after it`;
    throw new InvalidArgumentError('--window', `${window} is more than ${limit}`);
  }
  if (stride >= window) {
    throw new InvalidArgumentError('--stride', `${stride} would leave out tokens; at most ${window - 1}`);
  }
  if (options.bosEachWindow && tokenizer.bosId === undefined) {
    throw new InvalidArgumentError('--bos-each-window', 'this model has no BOS token');
  }
  return { window, stride, bosId: options.bosEachWindow ? tokenizer.bosId : undefined };
}

async function* tokensOf(
  { tokenizer }: Engine,
  path: string,
  options: PerplexityOptions,
  signal: AbortSignal,
): AsyncGenerator<Int32Array> {
  if (tokenizer.addBos) yield Int32Array.of(tokenizer.bosId!);
  yield* tokenChunks(readText(path, signal), tokenizer, {
    parseSpecial: options.parseSpecial ?? false,
  });
}

/** The value so far, on a terminal. */
function runningValue(): { show(sums: RunningPerplexity, numWindows: number): void; stop(): void } {
  if (!process.stderr.isTTY) return { show() {}, stop() {} };
  const bar = new SingleBar(
    {
      format: 'window {value} | perplexity {perplexity} | {tokens} tokens',
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
    },
    Presets.shades_grey,
  );
  let isStarted = false;
  return {
    show(sums, numWindows) {
      const { perplexity, numTokens } = sums.summary();
      const payload = { perplexity: perplexity.toFixed(3), tokens: numTokens };
      if (isStarted) bar.update(numWindows, payload);
      else bar.start(0, numWindows, payload);
      isStarted = true;
    },
    stop() {
      if (isStarted) bar.stop();
      isStarted = false;
    },
  };
}

interface Run extends WindowOptions {
  readonly numWindows: number;
  readonly seconds: number;
  readonly backend: string;
}

async function report(summary: PerplexitySummary, run: Run, { json }: PerplexityOptions): Promise<void> {
  const { perplexity, nll, standardError, numTokens } = summary;
  const { window, stride, numWindows, seconds, backend } = run;
  if (json) {
    await printJson({ ...summary, window, stride, numWindows, backend, seconds });
  } else {
    await printLine(`perplexity ${perplexity.toFixed(4)} +- ${(perplexity * standardError).toFixed(4)}`);
    await printLine(`nll        ${nll.toFixed(5)} +- ${standardError.toFixed(5)} per token`);
    await printLine(`tokens     ${numTokens} in ${numWindows} windows of up to ${window}, stride ${stride}`);
    if (process.stderr.isTTY) note(`${(numTokens / seconds).toFixed(0)} tokens/s on ${backend}`);
  }
  process.exitCode = EXIT.ok;
}
