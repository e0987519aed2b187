/** A folder that exists while a test file runs. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

export interface TemporaryFolder {
  /** Absolute path of a name in the folder. */
  at(name: string): string;
  /** Writes a file and gives its path. */
  put(name: string, content: Uint8Array | string): Promise<string>;
}

/** Call at the top of a test file or suite. */
export function useTemporaryFolder(): TemporaryFolder {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quern-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const at = (name: string) => join(folder, name);
  return {
    at,
    async put(name, content) {
      await writeFile(at(name), content);
      return at(name);
    },
  };
}
