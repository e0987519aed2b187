/** Text out of a hostile file must not reach a terminal as commands to it. */
import { describe, expect, it } from 'vitest';
import { formatFailure } from '../../../formats/format-failure.ts';
import { openGguf } from '../../../formats/gguf/open-gguf.ts';
import { formatError } from '../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';
import { entry, ggufBytes, u8 } from './support/gguf-bytes.ts';

const folder = useTemporaryFolder();
const where = (field: string) => ({ file: 'f', byteOffset: 3, field });

describe('formatFailure', () => {
  it('shows control characters, direction marks and half surrogates as numbers', () => {
    const { message } = formatFailure(where('a\x1b[2Jb'), 'got \x9b31m \u202e \ud800 ü 漢');
    expect(message).toBe('f: a\\u{1b}[2Jb at byte 3: got \\u{9b}31m \\u{202e} \\u{d800} ü 漢');
  });

  it('names an empty field and cuts a long one', () => {
    expect(formatFailure(where(''), 'x').field).toBe('""');
    expect(formatFailure(where('k'.repeat(65_535)), 'y'.repeat(65_535)).message.length).toBeLessThan(800);
  });

  it('is what a reader throws', async () => {
    const path = await folder.put('escape.gguf', ggufBytes({ entries: [entry('\x1b]0;owned\x07', 7, u8(9))] }));
    expect((await formatError(openGguf(path))).field).toBe('\\u{1b}]0;owned\\u{7}');
  });
});
