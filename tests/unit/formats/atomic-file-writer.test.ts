/** A file is whole or not there, whoever ends what when. */
import { spawn } from 'node:child_process';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { FileAccessError } from '../../../engine/errors.ts';
import { writeAtomically } from '../../../formats/atomic-file-writer.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const MODULE = new URL('../../../formats/atomic-file-writer.ts', import.meta.url).href;
const BYTES = Buffer.from('whole');
let number = 0;
let path = '';

beforeEach(async () => {
  path = folder.at(`file-${++number}`);
  await writeFile(path, 'old');
});

async function leftovers(): Promise<string[]> {
  return (await readdir(join(path, '..'))).filter((name) => name.endsWith('.tmp'));
}

/** Runs the body in a process of its own, with a writer `file` that has written something. */
function run(body: string): Promise<number | null> {
  const source = `
    import { AtomicFileWriter } from ${JSON.stringify(MODULE)};
    const file = await AtomicFileWriter.create(${JSON.stringify(path)});
    await file.write(new Uint8Array(2 ** 21));
    ${body}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'ignore' });
  return new Promise((resolve) => child.once('close', resolve));
}

describe('an atomic file', () => {
  it('takes the old one’s place when it is whole', async () => {
    await writeAtomically(path, async (file) => {
      await file.write(BYTES);
      expect(await readFile(path, 'utf8')).toBe('old');
    });
    expect(await readFile(path, 'utf8')).toBe('whole');
    expect(await leftovers()).toEqual([]);
  });

  it('is not begun on a disk that cannot hold it', async () => {
    const writing = writeAtomically(path, () => expect.unreachable(), { expectedBytes: 2 ** 50 });
    await expect(writing).rejects.toThrow(
      /file-\d+: cannot be written: it takes 1125899906842624 bytes, and \d+ are free/,
    );
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await leftovers()).toEqual([]);
  });

  it('leaves the old one and nothing else when writing fails', async () => {
    const mine = new Error('no more');
    const numListeners = process.listenerCount('exit');
    const writing = writeAtomically(path, async (file) => {
      await file.write(BYTES);
      expect(await leftovers()).toHaveLength(1);
      throw mine;
    });
    await expect(writing).rejects.toBe(mine);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await leftovers()).toEqual([]);
    expect(process.listenerCount('exit')).toBe(numListeners);
  });

  it('is not begun in a folder that is not there', async () => {
    await expect(writeAtomically(folder.at('nowhere/file'), async () => {})).rejects.toThrow(FileAccessError);
  });

  it.skipIf(process.platform === 'win32')('has the permissions asked for, from the start', async () => {
    await writeAtomically(
      path,
      async (file) => {
        await file.write(BYTES);
        const [temporary] = await leftovers();
        expect((await stat(folder.at(temporary!))).mode & 0o777).toBe(0o600);
      },
      { mode: 0o600 },
    );
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  // What a second Ctrl-C does, and an error that nobody caught.
  it.each([
    ['exits', 'process.exit(130);', 130],
    ['fails', 'setTimeout(() => { throw new Error("unforeseen"); });', 1],
    ['exits after the last byte', 'await file.commit(); process.exit(0);', 0],
  ])('leaves no temporary file behind in a process that %s', async (_, body, code) => {
    expect(await run(body)).toBe(code);
    expect(await leftovers()).toEqual([]);
    expect((await stat(path)).size).toBe(code === 0 ? 2 ** 21 : 3);
  });
});
