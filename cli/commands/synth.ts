/** `quern synth`: a model of random weights with the shape of a real one. */
import { type Command, Option } from 'commander';
import { MODEL_SHAPES, resolveShape } from '../../engine/synth/model-shape.ts';
import { writeSyntheticModel } from '../../engine/synth/write-synthetic-model.ts';
import { interruptSignal } from '../interrupt.ts';
import { decimalNumber, wholeNumber } from '../option-parsers.ts';
import { checkOutput } from '../output-file.ts';
import { note, printJson } from '../terminal.ts';
import { formatBytes, formatCount } from '../units.ts';
import { withProgress } from '../write-progress.ts';
import { quantizeTypeOption } from './quantize.ts';

interface SynthOptions {
  readonly shape: string;
  readonly type: string;
  readonly seed: number;
  readonly hiddenSize?: number;
  readonly intermediateSize?: number;
  readonly numLayers?: number;
  readonly numHeads?: number;
  readonly numKvHeads?: number;
  readonly headDim?: number;
  readonly vocabSize?: number;
  readonly contextLength?: number;
  readonly ropeTheta?: number;
  readonly untied?: true;
  readonly pure?: true;
  readonly force?: true;
  readonly json?: true;
}

export function addSynthCommand(program: Command): void {
  const command = program
    .command('synth')
    .description('write a model of random weights, for tests and benchmarks')
    .argument('<out>', 'GGUF file to write')
    .addOption(
      new Option('--shape <name>', 'whose shape').choices(MODEL_SHAPES.map(({ name }) => name)).default('tiny'),
    )
    .addOption(quantizeTypeOption().default('q4_0'))
    .option('--seed <n>', 'the same seed gives the same file', wholeNumber(-(2 ** 53) + 1), 1);
  addSizeOptions(command)
    .option('--pure', 'every matrix in that type, also the output projection')
    .option('-f, --force', 'overwrite the output')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExample:\n  quern synth --shape llama-3.2-1b --type q4_0 --seed 1 llama-1b.gguf' +
        '\n  quern synth --shape tiny --hidden-size 512 --num-layers 8 --type f16 small.gguf',
    )
    .action(synth);
}

function addSizeOptions(command: Command): Command {
  return command
    .option('--hidden-size <n>', "width of the model (this and the following: default the shape's)", wholeNumber(1))
    .option('--intermediate-size <n>', 'width inside the MLP', wholeNumber(1))
    .option('--num-layers <n>', 'layers', wholeNumber(1))
    .option('--num-heads <n>', 'query heads', wholeNumber(1))
    .option('--num-kv-heads <n>', 'key and value heads', wholeNumber(1))
    .option(
      '--head-dim <n>',
      'width of a head (default with --hidden-size or --num-heads: their quotient)',
      wholeNumber(1),
    )
    .option('--vocab-size <n>', 'tokens', wholeNumber(1))
    .option('-c, --context-length <n>', 'positions the model is said to be made for', wholeNumber(1))
    .option('--rope-theta <x>', 'base of the rotary wavelengths', decimalNumber)
    .option('--untied', 'an output projection of its own rather than the embedding');
}

async function synth(output: string, options: SynthOptions): Promise<void> {
  const { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim } = options;
  const { vocabSize, contextLength, ropeTheta } = options;
  const shape = resolveShape(options.shape, {
    ...{ hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim, vocabSize, contextLength, ropeTheta },
    tiedEmbeddings: options.untied === true ? false : undefined,
  });
  checkOutput(output, { force: options.force === true });
  const signal = interruptSignal();
  const start = performance.now();
  const { type, seed, pure } = options;
  const result = await withProgress('writing', (onProgress) =>
    writeSyntheticModel(output, shape, { type, seed, pure: pure === true, signal, onProgress }),
  );
  const seconds = (performance.now() - start) / 1000;
  if (options.json) await printJson({ output, shape, type, seed, ...result, seconds });
  const types = Object.entries(result.tensorsByType).map(([name, count]) => `${count} ${name}`);
  note(
    `${output}: ${formatCount(result.numParameters)} parameters, ${formatBytes(result.numBytes)} in ${seconds.toFixed(1)} s; ` +
      `tensors: ${types.join(', ')}`,
  );
}
