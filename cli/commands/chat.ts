/** `quern chat`: a conversation with a model, by a person or by a script. */
import { type Command, InvalidArgumentError as CommanderArgumentError } from 'commander';
import type { Engine } from '../../engine/engine.ts';
import { InvalidArgumentError } from '../../engine/errors.ts';
import { ChatSession } from '../chat/chat-session.ts';
import { interactiveChat } from '../chat/interactive-chat.ts';
import { pipedChat } from '../chat/piped-chat.ts';
import { EXIT } from '../exit-codes.ts';
import { readTextFile } from '../input.ts';
import { interruptSignal } from '../interrupt.ts';
import { loadEngine } from '../load-engine.ts';
import { addEngineOptions, type EngineFlags, toEngineOptions } from '../model-options.ts';
import { addSamplingFlags, type SamplingFlags, toSamplingOptions } from '../sampling-flags.ts';
import { note } from '../terminal.ts';

interface ChatOptions extends EngineFlags, SamplingFlags {
  readonly system?: string;
  readonly chatTemplate?: string;
  readonly templateVariable?: Readonly<Record<string, unknown>>;
  readonly history: boolean;
  readonly quiet?: true;
  readonly json?: true;
}

export function addChatCommand(program: Command): void {
  const command = program
    .command('chat')
    .description('talk with a model: at a terminal, or a line of stdin per message');
  addSamplingFlags(addEngineOptions(command))
    .option('--system <text>', 'system message: how the model is to behave')
    .option('--chat-template <file>', "Jinja template to use in place of the model's own")
    .option('--template-variable <name=json>', 'a further name for the template (repeatable)', templateVariable)
    .option('--no-history', 'neither read nor keep what is typed')
    .option('-q, --quiet', 'no notes about the model on stderr')
    .option('--json', 'one JSON object per answer on stdout (only when stdin is no terminal)')
    .addHelpText(
      'after',
      '\nExample:\n  quern chat -m model.gguf --system "Answer in one sentence."' +
        '\n  printf "What is a quern?\\nWho used it?\\n" | quern chat -m model.gguf --temperature 0' +
        '\n  quern chat -m qwen3.gguf --template-variable enable_thinking=false',
    )
    .action(async (options: ChatOptions, self: Command) => {
      await chat(options, (flag) => self.getOptionValueSource(flag) === 'default');
    });
}

async function chat(options: ChatOptions, isDefault: (flag: string) => boolean): Promise<void> {
  if (options.json && process.stdin.isTTY) {
    throw new InvalidArgumentError('--json', 'is for messages that come through a pipe; stdin is a terminal');
  }
  const signal = interruptSignal();
  const sampling = toSamplingOptions(options, isDefault);
  const chatTemplate = options.chatTemplate === undefined ? undefined : await readTextFile(options.chatTemplate);
  await using engine = await loadEngine(options.model, {
    ...toEngineOptions(options),
    // One conversation at a time needs little memory for its neighbours.
    maxNumSeqs: 1,
    signal,
  });
  const session = new ChatSession(engine, {
    sampling,
    system: options.system,
    chatTemplate,
    variables: options.templateVariable,
  });
  if (!options.quiet) introduce(session, engine);
  if (process.stdin.isTTY) await interactiveChat(session, { keepsHistory: options.history, signal });
  else await pipedChat(session, { json: options.json ?? false, signal });
  process.exitCode = signal.aborted ? EXIT.interrupted : EXIT.ok;
}

function introduce(session: ChatSession, { maxModelLen }: Engine): void {
  if (!session.hasTemplate) {
    note(
      'This model has no chat template: it was not trained on conversations, and continues a plain dialogue instead.',
    );
  }
  if (process.stdin.isTTY) note(`Context of ${maxModelLen} tokens. /help lists the commands, Ctrl-D leaves.`);
}

/** `name=json`, gathered. A value that is no JSON is a text. */
function templateVariable(text: string, previous: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const [, name, value] = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new CommanderArgumentError('Expected name=value.');
  try {
    return { ...previous, [name]: JSON.parse(value) as unknown };
  } catch {
    return { ...previous, [name]: value };
  }
}
