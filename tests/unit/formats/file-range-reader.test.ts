/** What is no regular, readable file must be refused in one clear line, and never waited for. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, truncate } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { FileAccessError, type QuernError } from '../../../engine/errors.ts';
import { detectModel } from '../../../formats/detect.ts';
import { FileRangeReader } from '../../../formats/file-range-reader.ts';
import { openGguf } from '../../../formats/gguf/open-gguf.ts';
import { openSafetensors } from '../../../formats/safetensors/open-safetensors.ts';
import { formatError, rejection } from '../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const onWindows = process.platform === 'win32';

describe.each([
  ['FileRangeReader.open', (path: string) => FileRangeReader.open(path)],
  ['openGguf', openGguf],
  ['openSafetensors', openSafetensors],
  ['detectModel', detectModel],
])('%s of a path that is', (name, open) => {
  it('missing', async () => {
    for (const path of [folder.at('none.gguf'), '', folder.at('no-folder/none.gguf')]) {
      const error = await rejection(open(path));
      expect(error).toBeInstanceOf(FileAccessError);
      expect((error as Error).message).toBe(`${path || "''"}: no such file`);
    }
  });

  it('below a file, impossible or no string', async () => {
    const file = await folder.put('plain', 'x');
    for (const path of [`${file}/model.gguf`, 'with\0nul', 'x'.repeat(5000), undefined as unknown as string]) {
      expect(['FILE_ACCESS', 'INVALID_ARGUMENT']).toContain(((await rejection(open(path))) as QuernError).code);
    }
  });

  it('an empty file', async () => {
    expect((await formatError(open(await folder.put('empty', '')))).message).toMatch(/file at byte 0: is empty/);
  });

  it('an empty folder', async () => {
    await mkdir(folder.at('folder'), { recursive: true });
    const { message } = await formatError(open(folder.at('folder')));
    expect(message).toMatch(/is a folder, not a model file|model\.safetensors.* holds nothing/);
  });

  it.skipIf(onWindows)('a pipe nobody writes to, or a device', async () => {
    const pipe = folder.at(`pipe for ${name}`);
    execFileSync('mkfifo', [pipe]);
    expect((await formatError(open(pipe))).message).toMatch(/not a regular file/);
    expect((await formatError(open('/dev/zero'))).message).toMatch(/not a regular file/);
  });

  // The system lets root read everything, so there this cannot be shown.
  it.skipIf(onWindows || process.getuid?.() === 0)('not readable for this user', async () => {
    await chmod(await folder.put(`secret for ${name}`, 'GGUF'), 0);
    expect(String(await rejection(open(folder.at(`secret for ${name}`))))).toMatch(/no permission to read/);
  });
});

describe('FileRangeReader', () => {
  it('reads ranges, counts bytes, and stops at the end', async () => {
    const reader = await FileRangeReader.open(await folder.put('ten', '0123456789'));
    const target = Buffer.alloc(4);
    await reader.read(6, target, 'tail');
    expect(target.toString()).toBe('6789');
    await reader.read(10, new Uint8Array(0), 'nothing');
    expect(reader.numBytesRead).toBe(4);
    expect((await formatError(reader.read(7, target, 'tail'))).message).toMatch(
      /tail at byte 7: needs 4.*only 3 are left/,
    );
    await reader.close();
  });

  it('notices a file that shrinks while it is open', async () => {
    const path = await folder.put('shrinking', '0123456789');
    const reader = await FileRangeReader.open(path);
    await truncate(path, 5);
    expect((await formatError(reader.read(4, Buffer.alloc(4), 'tail'))).message).toMatch(/became shorter/);
    await reader.close();
  });
});
