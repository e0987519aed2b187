/** Where the reference data lies, and how a test says that it is not there. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const SHARED = new URL('../../../shared/', import.meta.url);

/** Absolute path of something under `../shared/fixtures`. */
export function fixturePath(relative: string): string {
  return fileURLToPath(new URL(`fixtures/${relative}`, SHARED));
}

/** Absolute path of something under `../shared/models`. */
export function sharedModelPath(relative: string): string {
  return fileURLToPath(new URL(`models/${relative}`, SHARED));
}

export const hasFixtures: boolean = existsSync(fixturePath('README.md'));

/** Append to a suite's title: `describe.skipIf(!hasFixtures)('x' + skipNote, ...)`, so that a skip says why. */
export const skipNote: string = hasFixtures ? '' : ' [skipped: ../shared/fixtures is not beside this checkout]';

export async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, 'utf8')) as T;
}

/** Raw little-endian float32. */
export async function readF32(path: string): Promise<Float32Array> {
  const bytes = await readFile(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

export async function readBytes(path: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path));
}
