/** What a model writes cannot take hold of the terminal it is shown on; into a pipe it goes as it is. */
import { beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../../engine/engine.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { atTerminal, hasTerminal, terminalNote } from '../helpers/terminal.ts';
import { writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const ESCAPE = '\u001b';
/** Options with which the tiny model writes nothing but escape characters. */
let options: string[];

beforeAll(async () => {
  const path = folder.at('tiny.gguf');
  await writeTinyModel(path);
  await using engine = await Engine.load(path, { backend: 'reference', numThreads: 0, maxNumSeqs: 1 });
  const [escapeId] = engine.tokenize(ESCAPE, { addSpecial: false });
  const bias = ['--logit-bias', `${escapeId}=100`, '--temperature', '0', '-n', '3'];
  options = ['-m', path, '--backend', 'reference', '-t', '0', '-q', ...bias];
});

describe('quern run into a pipe', () => {
  it('gives the text as it is', async () => {
    const { stdout } = await runCli(['run', ...options, `a${ESCAPE}[1mb`]);
    expect(stdout).toBe(`a${ESCAPE}[1mb${ESCAPE.repeat(3)}`);
  });
});

describe.skipIf(!hasTerminal)(`at a terminal${terminalNote}`, () => {
  it('quern run shows the controls of prompt and text', async () => {
    const { shown, code } = await atTerminal([], ['run', ...options, `a${ESCAPE}[1mb\tc`]);
    expect(shown).toBe(`a\\u{1b}[1mb\tc${'\\u{1b}'.repeat(3)}\r\n`);
    expect(code).toBe(0);
  });

  it('quern chat shows the controls of an answer', async () => {
    const { shown } = await atTerminal(
      [
        ['> ', 'Hello\r'],
        ['max-tokens\\].*> ', '\u0004'],
      ],
      ['chat', ...options, '--no-history'],
    );
    expect(shown).toContain('\\u{1b}'.repeat(3));
  });
});
