/** Files as a page has them: a path is a URL, and a read is a request for a range of its bytes. */

export interface FileHandle {
  stat(): Promise<{ readonly size: number; isFile(): boolean; isDirectory(): boolean }>;
  read(target: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
}

export async function open(path: string): Promise<FileHandle> {
  const response = await fetch(path, { method: 'HEAD' });
  if (!response.ok) {
    const code = response.status === 404 ? 'ENOENT' : 'EIO';
    throw Object.assign(new Error(`the server answers ${response.status}`), { code });
  }
  const size = Number(response.headers.get('content-length'));
  return {
    stat: async () => ({ size, isFile: () => true, isDirectory: () => false }),
    read: (target, offset, length, position) => readRange(path, target.subarray(offset, offset + length), position),
    close: async () => {},
  };
}

async function readRange(path: string, target: Uint8Array, position: number): Promise<{ readonly bytesRead: number }> {
  if (target.length === 0) return { bytesRead: 0 };
  const headers = { range: `bytes=${position}-${position + target.length - 1}` };
  const response = await fetch(path, { headers });
  // 200 would be the whole file.
  if (response.status !== 206)
    throw new Error(`the server does not give parts of files: it answers ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  target.set(bytes);
  return { bytesRead: bytes.length };
}

/** A server lists no folders: a path is a file. */
export const readdir = (path: string): Promise<never> =>
  Promise.reject(new Error(`${path} cannot be listed in a browser`));
export const access = readdir;
export const rename = readdir;
export const rm = readdir;
export const statfs = readdir;
