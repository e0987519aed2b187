/** `quern run`: continues a prompt and streams the text. */
import type { Command } from 'commander';
import type { GenerationResult } from '../../engine/requests/generation-stream.ts';
import { EXIT } from '../exit-codes.ts';
import { interruptSignal } from '../interrupt.ts';
import { loadEngine } from '../load-engine.ts';
import { addEngineOptions, type EngineFlags, toEngineOptions } from '../model-options.ts';
import { addSamplingFlags, type SamplingFlags, toSamplingOptions } from '../sampling-flags.ts';
import { readStdin } from '../stdin.ts';
import { note, print, printJson, showText } from '../terminal.ts';

interface RunOptions extends EngineFlags, SamplingFlags {
  readonly echo: boolean;
  readonly parseSpecial?: true;
  readonly quiet?: true;
  readonly json?: true;
}

export function addRunCommand(program: Command): void {
  const command = program
    .command('run')
    .description('continue a prompt and stream the text')
    .argument('[prompt]', 'text to continue; - reads it from stdin', '');
  addSamplingFlags(addEngineOptions(command))
    .option('--no-echo', 'print only what is generated, not the prompt before it')
    .option('--parse-special', 'read special tokens such as <|im_end|> in the prompt as tokens')
    .option('-q, --quiet', 'no line about speed on stderr')
    .option('--json', 'one JSON object on stdout instead of streamed text')
    .addHelpText(
      'after',
      '\nExample:\n  quern run --max-tokens 100 "Once upon a time"\n  quern run -m model.gguf --temperature 0 --seed 1 "The sea"',
    )
    .action(async (prompt: string, options: RunOptions, self: Command) => {
      await run(await readPrompt(prompt), options, (flag) => self.getOptionValueSource(flag) === 'default');
    });
}

async function readPrompt(prompt: string): Promise<string> {
  return prompt === '-' ? readStdin() : prompt;
}

async function run(prompt: string, options: RunOptions, isDefault: (flag: string) => boolean): Promise<void> {
  const signal = interruptSignal();
  const sampling = toSamplingOptions(options, isDefault);
  const loadStart = performance.now();
  await using engine = await loadEngine(options.model, {
    ...toEngineOptions(options),
    // One request at a time needs little memory for its neighbours.
    maxNumSeqs: 1,
    signal,
  });
  const loadMs = performance.now() - loadStart;
  const stream = engine.generate(prompt, { ...sampling, parseSpecial: options.parseSpecial ?? false, signal });
  if (!options.json) {
    // The prompt comes with the first token: a request that is refused leaves stdout empty.
    let before = options.echo ? prompt : '';
    for await (const { text } of stream) {
      await showText(before + text);
      before = '';
    }
    if (process.stdout.isTTY) await print('\n');
  }
  const result = await stream.result;
  if (options.json) await printJson({ prompt, ...summary(result), loadMs: Math.round(loadMs) });
  if (!options.quiet) reportSpeed(result);
  process.exitCode = EXIT.ok;
}

function summary({ choices, usage, timings, seed }: GenerationResult): Record<string, unknown> {
  const { text, tokenIds, finishReason } = choices[0]!;
  return { text, tokens: tokenIds, finishReason, usage, timings, seed };
}

function reportSpeed({ usage, timings, seed }: GenerationResult): void {
  const { numGeneratedTokens, numPromptTokens } = usage;
  const decodeMs = timings.totalMs - timings.timeToFirstTokenMs;
  const rate = numGeneratedTokens > 1 ? (((numGeneratedTokens - 1) * 1000) / decodeMs).toFixed(1) : '-';
  note(
    `\n${numPromptTokens} prompt ${numPromptTokens === 1 ? 'token' : 'tokens'}, first token after ${timings.timeToFirstTokenMs.toFixed(0)} ms; ` +
      `${numGeneratedTokens} generated at ${rate} tokens/s (seed ${seed})`,
  );
}
