/** The options that commands which load a model have in common. */
import { type Command, Option } from 'commander';
import { bundledModelPath } from '../engine/bundled-model.ts';
import type { EngineOptions } from '../engine/engine-options.ts';
import { KV_DTYPES, type KvDType } from '../engine/kvcache/kv-cache-storage.ts';
import { wholeNumber } from './option-parsers.ts';

export interface ModelOptions {
  readonly model: string;
  readonly tokenizer?: string;
  readonly backend: string;
  readonly contextLength?: number;
  readonly kvDtype: KvDType;
}

export interface EngineFlags extends ModelOptions {
  readonly threads?: number;
}

/** `--model` and `--tokenizer` alone, for commands that compute nothing. */
export function addModelPathOptions(command: Command): Command {
  return command
    .addOption(
      new Option('-m, --model <path>', 'GGUF file or Hugging Face model folder').default(
        bundledModelPath(),
        'the bundled story model',
      ),
    )
    .option('--tokenizer <folder>', "folder with a tokenizer.json, when the model's own is missing or not wanted");
}

/** For a command that computes on its own thread. */
export function addModelOptions(command: Command): Command {
  return addModelPathOptions(command)
    .option('--backend <name>', 'which kernels compute', 'auto')
    .option(
      '-c, --context-length <n>',
      "tokens a sequence may reach (default: the model's, at most 4096)",
      wholeNumber(1),
    )
    .addOption(new Option('--kv-dtype <type>', 'element type of the KV cache').choices(KV_DTYPES).default('f32'));
}

/** For a command that runs an engine. */
export function addEngineOptions(command: Command): Command {
  return addModelOptions(command).option(
    '-t, --threads <n>',
    'worker threads, 0 for none (default: what the machine grants)',
    wholeNumber(0, 256),
  );
}

export function toEngineOptions(options: EngineFlags): EngineOptions {
  return {
    backend: options.backend,
    kvDtype: options.kvDtype,
    ...(options.threads === undefined ? {} : { numThreads: options.threads }),
    ...(options.contextLength === undefined ? {} : { maxModelLen: options.contextLength }),
    ...(options.tokenizer === undefined ? {} : { tokenizerPath: options.tokenizer }),
  };
}
