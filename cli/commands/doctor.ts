/** `quern doctor`: what this machine has, what Quern really uses of it and why not more, and whether it computes rightly. */
import type { Command } from 'commander';
import { type Diagnosis, diagnose } from '../doctor/diagnosis.ts';
import { diagnosisLines } from '../doctor/diagnosis-text.ts';
import { EXIT } from '../exit-codes.ts';
import { interruptSignal } from '../interrupt.ts';
import { printableJson } from '../printable.ts';
import { printLine } from '../terminal.ts';

interface DoctorOptions {
  readonly model?: string;
  readonly backend?: readonly string[];
  readonly json?: true;
}

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('what this machine offers, what is really used of it, and whether it computes rightly')
    .option('-m, --model <path>', 'also check that this GGUF file or Hugging Face folder runs here')
    .option('--backend <list>', 'self-check these only (default: all that are available)', (text) => text.split(','))
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nEnds with 0 when all is well, 1 when a backend computes wrongly, 3 when only the model is the trouble.' +
        '\n\nExample:\n  quern doctor\n  quern doctor --model model.gguf --json',
    )
    .action(doctor);
}

async function doctor({ model, backend, json }: DoctorOptions): Promise<void> {
  const diagnosis = await diagnose({ model, backends: backend, signal: interruptSignal() });
  await printLine(json ? printableJson(diagnosis) : diagnosisLines(diagnosis).join('\n'));
  process.exitCode = exitCode(diagnosis);
}

function exitCode({ healthy, problems, model }: Diagnosis): number {
  if (healthy) return EXIT.ok;
  return problems.length === 1 && model?.ok === false ? EXIT.input : EXIT.failure;
}
