/** `node bench/compare/main.ts --model model.gguf`: Quern beside llama.cpp, by turns, on the same files. See
 * docs/benchmarks.md. */
import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { openBenchModel } from '../../cli/bench/bench-model.ts';
import { selectTests } from '../../cli/bench/bench-test.ts';
import { collect, wholeNumber, wholeNumberList } from '../../cli/option-parsers.ts';
import { packageVersion } from '../../cli/package-version.ts';
import { availableThreads } from '../../engine/util/cpu-quota.ts';
import { describeMachine } from '../lib/machine.ts';
import { saveResults } from '../lib/result-log.ts';
import { compare } from './compare.ts';
import { arePeersInstalled, contenders, installPeers, PEER_NAMES } from './contenders.ts';
import type { PeerOptions } from './peer.ts';
import { toRecords, toText } from './report.ts';

interface Options {
  readonly model: readonly string[];
  readonly threads: number;
  readonly prompt?: number;
  readonly generate?: number;
  readonly batch: readonly number[];
  readonly depth: number;
  readonly repetitions: number;
  readonly kvDtype: PeerOptions['kvDtype'];
  readonly peer?: readonly string[];
  readonly install?: true;
  readonly note?: string;
  readonly json?: true;
  readonly save?: true;
}

const command = new Command('bench/compare')
  .description('Quern beside llama.cpp: tokens/s, load time and memory, by turns on the same files')
  .requiredOption('-m, --model <file>', 'GGUF file (repeatable)', collect)
  .option(
    '-t, --threads <n>',
    'for every engine (default: what the machine grants)',
    wholeNumber(1),
    availableThreads(),
  )
  .option('-p, --prompt <n>', 'tokens to process, 0 for no such test (default: 512)', wholeNumber(0))
  .option('-n, --generate <n>', 'tokens to generate, 0 for no such test (default: 128)', wholeNumber(0))
  .addOption(
    new Option('-b, --batch <list>', 'sequences that generate at the same time, one test each')
      .default([1, 16], '1,16')
      .argParser(wholeNumberList(1, 64)),
  )
  .option('-d, --depth <n>', 'tokens in the KV cache before each test', wholeNumber(0), 0)
  .option('-r, --repetitions <n>', 'besides the warm-up', wholeNumber(1), 5)
  .addOption(
    new Option('--kv-dtype <type>', "of Quern's KV cache; llama.cpp's is f16")
      .choices(['f32', 'f16', 'q8_0'])
      .default('f32'),
  )
  .addOption(new Option('--peer <name>', 'only this one (repeatable)').choices(PEER_NAMES).argParser(collect))
  .option('--install', 'first install node-llama-cpp into bench/compare, as its lock file says')
  .option('--note <text>', 'kept with the results, such as other load on the machine')
  .option('--json', 'JSON lines on stdout instead of tables')
  .option('--save', 'append the JSON lines to bench/results/compare.jsonl');

await main(command.parse().opts<Options>());

async function main(options: Options): Promise<void> {
  if (options.install) installPeers();
  if (!arePeersInstalled()) {
    command.error('node-llama-cpp is not there: add --install, or npm ci --ignore-scripts in bench/compare');
  }
  for (const model of options.model) await compareOn(model, options);
}

async function compareOn(model: string, options: Options): Promise<void> {
  const { threads, kvDtype, repetitions } = options;
  const { report, config } = await openBenchModel(model);
  const tests = selectTests(options, config.contextLength);
  const facts = {
    ...describeMachine(),
    date: new Date().toISOString().slice(0, 10),
    quern: packageVersion(),
    threads,
    model: basename(model),
    numParameters: report.numParameters,
    modelBytes: report.numTensorBytes,
    type: report.types[0]?.type ?? 'unknown',
    ...(options.note === undefined ? {} : { note: options.note }),
  };
  const onProgress = (what: string): void => void process.stderr.write(`${basename(model)}: ${what}\n`);
  const all = { model, threads, tests, kvDtype, repetitions, onProgress };
  const results = await compare(contenders(options.peer ?? PEER_NAMES), all);
  const records = toRecords(facts, results);
  if (options.json) for (const record of records) console.log(JSON.stringify(record));
  else console.log(`${toText(model, threads, results)}\n`);
  if (options.save) process.stderr.write(`saved to ${saveResults('compare', records)}\n`);
}
