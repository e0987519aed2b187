/** The `quern` command: one verb per file under `commands/`. */
import { Command, CommanderError } from 'commander';
import { QuernError } from '../engine/errors.ts';
import { addBatchCommand } from './commands/batch.ts';
import { addBenchCommand } from './commands/bench.ts';
import { addChatCommand } from './commands/chat.ts';
import { addDetokenizeCommand } from './commands/detokenize.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addInspectCommand } from './commands/inspect.ts';
import { addLogitsCommand } from './commands/logits.ts';
import { addPerplexityCommand } from './commands/perplexity.ts';
import { addQuantizeCommand } from './commands/quantize.ts';
import { addRunCommand } from './commands/run.ts';
import { addSynthCommand } from './commands/synth.ts';
import { addTokenizeCommand } from './commands/tokenize.ts';
import { errorText } from './error-text.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { packageVersion } from './package-version.ts';
import { endOnUnwritableOutput, note } from './terminal.ts';

export async function main(argv: readonly string[]): Promise<void> {
  endOnUnwritableOutput();
  const program = buildProgram();
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = report(error, program);
  }
}

/** The command line without a process: what it takes, and what it says. */
export function buildProgram(): Command {
  const program = new Command('quern')
    .description('Transformer inference in Node: GGUF or safetensors in, tokens out.')
    .version(packageVersion())
    .showSuggestionAfterError()
    .showHelpAfterError('(quern <command> --help shows options and an example)')
    .addHelpText('after', '\nExample:\n  quern run "Once upon a time"')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failure, 2 usage, 3 input (a model or a prompt), 130 interrupted, 141 nobody reads stdout',
    )
    .exitOverride();
  addRunCommand(program);
  addChatCommand(program);
  addBatchCommand(program);
  addPerplexityCommand(program);
  addBenchCommand(program);
  addDoctorCommand(program);
  addInspectCommand(program);
  addTokenizeCommand(program);
  addDetokenizeCommand(program);
  addLogitsCommand(program);
  addSynthCommand(program);
  addQuantizeCommand(program);
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError('(add --help for options and an example)');
  return program;
}

/** One line for what a person can act on; a stack trace only for what should not happen. */
function report(error: unknown, program: Command): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const code = exitCodeOf(error);
  if (QuernError.isInstance(error)) note(`quern: ${errorText(error, program)}`);
  else note(`quern: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return code;
}
