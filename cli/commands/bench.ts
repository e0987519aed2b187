/** `quern bench`: tokens per second of a model on this machine, the way llama-bench counts them. */
import { type Command, Option } from 'commander';
import { InvalidArgumentError } from '../../engine/errors.ts';
import type { ModelConfig } from '../../engine/model/model-config.ts';
import { openBenchModel } from '../bench/bench-model.ts';
import { type BenchFacts, type BenchResult, benchFacts, benchLines, benchRecord } from '../bench/bench-result.ts';
import { selectTests } from '../bench/bench-test.ts';
import { loadBenchEngine } from '../bench/load-bench-engine.ts';
import { bytesPerStep, deviceFacts } from '../bench/memory-traffic.ts';
import { runTests } from '../bench/run-tests.ts';
import { EXIT } from '../exit-codes.ts';
import { interruptSignal } from '../interrupt.ts';
import { addEngineOptions, type EngineFlags, toEngineOptions } from '../model-options.ts';
import { wholeNumber, wholeNumberList } from '../option-parsers.ts';
import { printJson, printLine } from '../terminal.ts';
import { withProgress } from '../write-progress.ts';

interface BenchOptions extends EngineFlags {
  readonly prompt?: number;
  readonly generate?: number;
  readonly batch: readonly number[];
  readonly depth: number;
  readonly repetitions: number;
  readonly chunk: number;
  readonly numerics: 'fast' | 'portable';
  readonly revectorize: 'auto' | 'off';
  readonly matmulPrecision: 'f32' | 'f16';
  readonly matvecPrecision: 'f32' | 'int8';
  readonly json?: true;
}

/** As many sequences as the scheduler takes into one step. */
const MAX_BATCH = 512;

export function addBenchCommand(program: Command): void {
  const command = program
    .command('bench')
    .description('tokens per second of prompt processing (pp) and text generation (tg)');
  addEngineOptions(command)
    .option('-p, --prompt <n>', 'tokens to process, 0 for no such test (default: 512, or the context)', wholeNumber(0))
    .option('-n, --generate <n>', 'tokens to generate, 0 for no such test (default: 128)', wholeNumber(0))
    .addOption(
      new Option('-b, --batch <list>', 'sequences that generate at the same time, one test each')
        .default([1], '1')
        .argParser(wholeNumberList(1, MAX_BATCH)),
    )
    .option('-d, --depth <n>', 'tokens in the KV cache before each test, a multiple of 16', wholeNumber(0), 0)
    .option('-r, --repetitions <n>', 'besides the warm-up', wholeNumber(1, 1000), 5)
    .option('--chunk <n>', 'prompt tokens per step', wholeNumber(1, 65_536), 256)
    .addOption(
      new Option('--numerics <kind>', 'portable: the same bits on every machine')
        .choices(['fast', 'portable'])
        .default('fast'),
    )
    .addOption(
      new Option('--revectorize <when>', 'whether V8 may use 256-bit SIMD').choices(['auto', 'off']).default('auto'),
    )
    .addOption(
      new Option('--matmul-precision <type>', 'what a GPU multiplies prompts in')
        .choices(['f32', 'f16'])
        .default('f32'),
    )
    .addOption(
      new Option('--matvec-precision <type>', 'what a GPU multiplies in steps of few tokens')
        .choices(['f32', 'int8'])
        .default('f32'),
    )
    .option('--json', 'one JSON object a line for each test')
    .addHelpText(
      'after',
      '\npp: a prompt of random tokens, from its arrival to the first token after it. tg: greedy decoding, prompts left out;' +
        '\n@b16 is the sum over 16 sequences. Prompts are never cached, except for what --depth puts there (@d4096).' +
        '\n\nExample:\n  quern bench --model model.gguf --threads 2 --batch 1,4,16 --json\n  quern bench -p 0 -n 64 --depth 4096 -m model.gguf',
    )
    .action(bench);
}

async function bench(options: BenchOptions): Promise<void> {
  const signal = interruptSignal();
  const { report, config } = await openBenchModel(options.model);
  const tests = selectTests(options, maxContextOf(options, config));
  const { numerics, revectorize, matmulPrecision, matvecPrecision, chunk, kvDtype } = options;
  const engineOptions = {
    ...toEngineOptions(options),
    ...{ kvDtype, numerics, revectorize, matmulPrecision, matvecPrecision, signal },
    maxPrefillChunk: chunk,
    maxNumBatchedTokens: Math.max(512, chunk, ...options.batch),
  };
  const loaded = await withProgress('loading', (onProgress) =>
    loadBenchEngine(options.model, tests, config, { ...engineOptions, onProgress }),
  );
  await using engine = loaded.engine;
  const facts = { ...benchFacts(report, loaded, engineOptions), ...(await deviceFacts(engine.stats().backend)) };
  const results = withTraffic(runTests({ engine, times: loaded.times, signal }, tests, options.repetitions), (test) =>
    bytesPerStep(report, config, { test, kvDtype }),
  );
  await (options.json ? printRecords(facts, results) : printTable(facts, results));
  process.exitCode = EXIT.ok;
}

async function* withTraffic(
  results: AsyncIterable<BenchResult>,
  bytesOf: (test: BenchResult['test']) => number,
): AsyncGenerator<BenchResult> {
  for await (const result of results) {
    yield result.test.kind === 'tg' ? { ...result, bytesPerStep: bytesOf(result.test) } : result;
  }
}

async function printRecords(facts: BenchFacts, results: AsyncIterable<BenchResult>): Promise<void> {
  for await (const result of results) await printJson(benchRecord(facts, result));
}

async function printTable(facts: BenchFacts, results: AsyncIterable<BenchResult>): Promise<void> {
  const all: BenchResult[] = [];
  for await (const result of results) all.push(result);
  await printLine(benchLines(facts, all).join('\n'));
}

function maxContextOf({ contextLength }: EngineFlags, config: ModelConfig): number {
  if (contextLength === undefined || contextLength <= config.contextLength)
    return contextLength ?? config.contextLength;
  throw new InvalidArgumentError(
    '--context-length',
    `${contextLength} is more than the model's ${config.contextLength}`,
  );
}
