/** `quern inspect`: what is in a model file, and what it takes to run it. */
import { type Command, Option } from 'commander';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { resolveMaxModelLen } from '../../engine/engine-options.ts';
import { InvalidArgumentError } from '../../engine/errors.ts';
import { estimateMemory, type MemoryEstimate } from '../../engine/inspect/memory-estimate.ts';
import { inspectModel, isUnavailable, type ModelReport } from '../../engine/inspect/model-report.ts';
import { KV_DTYPES, type KvDType } from '../../engine/kvcache/kv-cache-storage.ts';
import {
  headLines,
  hyperparameterLines,
  memoryLines,
  metadataLines,
  tensorLines,
  tokenizerLines,
  typeLines,
} from '../inspect-text.ts';
import { wholeNumber } from '../option-parsers.ts';
import { printableJson } from '../printable.ts';
import { printLine } from '../terminal.ts';

interface InspectCommandOptions {
  readonly model?: string;
  readonly metadata: boolean;
  readonly tensors: boolean;
  readonly full?: true;
  readonly contextLength?: number;
  readonly kvDtype: KvDType;
  readonly json?: true;
}

export function addInspectCommand(program: Command): void {
  program
    .command('inspect')
    .description('show what is in a model file: metadata, tensors, memory it takes')
    .argument('[path]', 'GGUF file, Hugging Face model folder or safetensors file (default: the bundled story model)')
    .option('-m, --model <path>', 'the same as [path]')
    .option('--no-metadata', 'leave out the metadata')
    .option('--no-tensors', 'leave out the list of tensors')
    .option('--full', 'whole arrays and texts in the metadata, not their beginnings')
    .option(
      '-c, --context-length <n>',
      "tokens to estimate memory for (default: the model's, at most 4096)",
      wholeNumber(1),
    )
    .addOption(new Option('--kv-dtype <type>', 'element type of the KV cache').choices(KV_DTYPES).default('f32'))
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExample:\n  quern inspect model.gguf --no-tensors\n  quern inspect model.gguf --context-length 32768 --kv-dtype q8_0',
    )
    .action(inspect);
}

async function inspect(path: string | undefined, options: InspectCommandOptions): Promise<void> {
  if (path !== undefined && options.model !== undefined) {
    throw new InvalidArgumentError('path', `two models are given, ${path} and ${options.model}`);
  }
  const report = await inspectModel(path ?? options.model ?? bundledModelPath(), { full: options.full === true });
  const memory = memoryOf(report, options);
  if (options.json) await printLine(printableJson(toJson(report, memory, options)));
  else await printText(report, memory, options);
}

/** Nothing can be said without hyperparameters, and nothing runs without weights. */
function memoryOf(report: ModelReport, options: InspectCommandOptions): MemoryEstimate | undefined {
  const { hyperparameters, tensors, numTensorBytes } = report;
  if (isUnavailable(hyperparameters) || tensors.length === 0) return undefined;
  const { contextLength: longest } = hyperparameters;
  const contextLength = options.contextLength ?? resolveMaxModelLen({}, longest);
  if (contextLength > longest) {
    throw new InvalidArgumentError('--context-length', `${contextLength} is more than the model's ${longest}`);
  }
  return estimateMemory(hyperparameters, numTensorBytes, { contextLength, kvDtype: options.kvDtype });
}

function toJson(
  { metadata, tensors, ...report }: ModelReport,
  memory: MemoryEstimate | undefined,
  options: InspectCommandOptions,
): unknown {
  return {
    ...report,
    numTensors: tensors.length,
    memory: memory ?? null,
    ...(options.metadata ? { metadata } : {}),
    ...(options.tensors ? { tensors } : {}),
  };
}

async function printText(
  report: ModelReport,
  memory: MemoryEstimate | undefined,
  options: InspectCommandOptions,
): Promise<void> {
  const sections = [
    headLines(report),
    hyperparameterLines(report.hyperparameters),
    tokenizerLines(report.tokenizer),
    options.metadata ? metadataLines(report.metadata) : [],
    options.tensors ? tensorLines(report) : [],
    typeLines(report),
    memory === undefined ? [] : memoryLines(memory),
  ];
  for (const lines of sections) if (lines.length > 0) await printLine(lines.join('\n'));
}
