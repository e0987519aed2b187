/** Files that a model folder may lack. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';

/** The file's path, or undefined when the folder does not have it. */
export async function optionalFile(folder: string, name: string): Promise<string | undefined> {
  const path = join(folder, name);
  try {
    await access(path);
    return path;
  } catch (error) {
    // Anything else (no permission) is not absence: reading the file will say what is wrong.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : path;
  }
}
