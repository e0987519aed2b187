/** `quern quantize`: a model in another format, as one GGUF file. */
import { type Command, InvalidArgumentError as CommanderArgumentError, Option } from 'commander';
import { type QuantizeResult, quantizeModel } from '../../engine/convert/quantize-model.ts';
import { QUANTIZE_TARGETS } from '../../engine/convert/quantize-target.ts';
import { interruptSignal } from '../interrupt.ts';
import { checkOutput } from '../output-file.ts';
import { note, printJson } from '../terminal.ts';
import { formatBytes } from '../units.ts';
import { withProgress } from '../write-progress.ts';

interface QuantizeCommandOptions {
  readonly type: string;
  readonly pure?: true;
  readonly force?: true;
  readonly json?: true;
}

export function addQuantizeCommand(program: Command): void {
  program
    .command('quantize')
    .description('convert a model to a GGUF file of another type')
    .argument('<in>', 'GGUF file (any shard of a split one) or Hugging Face model folder')
    .argument('<out>', 'GGUF file to write')
    .addOption(quantizeTypeOption().makeOptionMandatory())
    .option('--pure', 'every matrix in that type, also those that are better kept finer (the output projection)')
    .option('-f, --force', 'overwrite the output')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nTypes q4_k_m and q5_k_m are mixes: q4_k or q5_k, and q6_k where rounding hurts most.' +
        '\n\nExample:\n  quern quantize model-f16.gguf model-q4_k_m.gguf --type q4_k_m' +
        '\n  quern quantize my-model-folder/ model.gguf --type q8_0',
    )
    .action(quantize);
}

/** `--type`, in any case. */
export function quantizeTypeOption(): Option {
  const names = QUANTIZE_TARGETS.map(({ name }) => name);
  return new Option('-t, --type <type>', 'type of the matrices').choices(names).argParser((text: string) => {
    const name = text.toLowerCase();
    if (!names.includes(name)) throw new CommanderArgumentError(`Allowed choices are ${names.join(', ')}.`);
    return name;
  });
}

async function quantize(input: string, output: string, options: QuantizeCommandOptions): Promise<void> {
  checkOutput(output, { force: options.force === true });
  const signal = interruptSignal();
  const start = performance.now();
  const result = await withProgress('quantizing', (onProgress) =>
    quantizeModel(input, output, { type: options.type, pure: options.pure === true, signal, onProgress }),
  );
  const seconds = (performance.now() - start) / 1000;
  if (options.json) await printJson({ output, type: options.type, ...result, seconds });
  report(output, result, seconds);
}

function report(output: string, result: QuantizeResult, seconds: number): void {
  for (const text of result.notes) note(`note: ${text}`);
  const types = Object.entries(result.tensorsByType).map(([type, count]) => `${count} ${type}`);
  const rate = result.sourceBytes / 2 ** 20 / seconds;
  note(
    `${output}: ${formatBytes(result.sourceBytes)} -> ${formatBytes(result.outputBytes)} in ${seconds.toFixed(1)} s ` +
      `(${rate.toFixed(0)} MiB/s); tensors: ${types.join(', ') || 'none'}`,
  );
}
