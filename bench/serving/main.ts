/** `node bench/serving/main.ts`: the engine under the load of a service. See docs/benchmarks.md. */
import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { addEngineOptions, type EngineFlags, toEngineOptions } from '../../cli/model-options.ts';
import { wholeNumber } from '../../cli/option-parsers.ts';
import { Engine } from '../../engine/engine.ts';
import { inspectModel } from '../../engine/inspect/model-report.ts';
import { describeMachine } from '../lib/machine.ts';
import { saveResults } from '../lib/result-log.ts';
import { runBenchmark } from './benchmark.ts';
import { type RunFacts, toRecords, toText } from './report.ts';

interface ServingOptions extends EngineFlags {
  readonly concurrency: readonly number[];
  readonly requests?: number;
  readonly repetitions: number;
  readonly seed: number;
  readonly kvCacheBytes?: number;
  readonly note?: string;
  readonly json?: true;
  readonly save?: true;
}

const command = new Command('bench/serving').description('tokens/s, TTFT, ITL and event loop delay under load');
addEngineOptions(command)
  .addOption(
    new Option('--concurrency <list>', 'requests at a time')
      .default([1, 4, 16, 64], '1,4,16,64')
      .argParser((text) => text.split(',').map(wholeNumber(1, 1024))),
  )
  .option('--requests <n>', 'per repetition (default: twice the concurrency, at least 8)', wholeNumber(1))
  .option('--repetitions <n>', 'besides the warm-up', wholeNumber(1), 5)
  .option('--seed <n>', 'of prompts, lengths, arrivals and sampling', wholeNumber(0), 1)
  .option('--kv-cache-bytes <n>', 'less than all requests need makes the scheduler preempt', wholeNumber(1))
  .option('--note <text>', 'kept with the results, such as other load on the machine')
  .option('--json', 'JSON lines on stdout instead of tables')
  .option('--save', 'append the JSON lines to bench/results/serving.jsonl');

await main(command.parse().opts<ServingOptions>());

async function main(options: ServingOptions): Promise<void> {
  await using engine = await Engine.load(options.model, {
    ...toEngineOptions(options),
    maxNumSeqs: Math.max(...options.concurrency),
    ...(options.kvCacheBytes === undefined ? {} : { kvCacheBytes: options.kvCacheBytes }),
  });
  const result = await runBenchmark(engine, {
    concurrencies: options.concurrency,
    numRequests: options.requests,
    numRepetitions: options.repetitions,
    seed: options.seed,
    onProgress: (what) => process.stderr.write(`${what}\n`),
  });
  const { backend, numThreads } = engine.stats();
  const facts: RunFacts = {
    ...describeMachine(),
    date: new Date().toISOString().slice(0, 10),
    threads: numThreads,
    backend,
    model: basename(options.model),
    dtype: (await inspectModel(options.model)).types[0]?.type ?? 'unknown',
    kvDtype: options.kvDtype,
    seed: options.seed,
    ...(options.note === undefined ? {} : { note: options.note }),
  };
  const records = toRecords(facts, result);
  if (options.json) for (const record of records) console.log(JSON.stringify(record));
  else console.log(toText(facts, result));
  if (options.save) process.stderr.write(`saved to ${saveResults('serving', records)}\n`);
}
