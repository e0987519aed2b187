/** Serves the page to browsers on this machine and to nobody else: it listens on the loopback interface only.
 *
 * There is no bundle. The engine's modules are served as they are, less their types, which Node itself can remove without
 * moving a character; the import map in `index.html` says what stands in for Node's own modules and where packages are.
 * Nothing is renamed, which the kernels need: gpu.js reads their text. */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';

const ROOT = resolve(import.meta.dirname, '..');

/** What may be asked for, of this repository. */
const SERVED = ['browser', 'engine', 'formats', 'models', 'node_modules'];

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
};

export interface PageServer {
  readonly url: string;
  close(): Promise<void>;
}

/** @param port  0 for any that is free */
export async function startPageServer(port = 0): Promise<PageServer> {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.error(error);
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end();
    });
  });
  await listen(server, port);
  const { port: actual } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${actual}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = pathOf(request);
  const info = path === undefined ? undefined : await stat(path).catch(() => undefined);
  if (path === undefined || info === undefined || !info.isFile()) {
    response.writeHead(404).end('not here');
    return;
  }
  const extension = extname(path);
  const headers = {
    'content-type': CONTENT_TYPES[extension] ?? 'application/octet-stream',
    'cache-control': 'no-store',
  };
  if (extension === '.ts') {
    response.writeHead(200, headers).end(stripTypeScriptTypes(await readFile(path, 'utf8')));
    return;
  }
  const { start, end } = rangeOf(request, info.size);
  if (start > end && info.size > 0) {
    response.writeHead(416, { 'content-range': `bytes */${info.size}` }).end();
    return;
  }
  const isPart = request.headers.range !== undefined;
  const range = isPart ? { 'content-range': `bytes ${start}-${end}/${info.size}` } : {};
  response.writeHead(isPart ? 206 : 200, {
    ...headers,
    ...range,
    'content-length': end - start + 1,
    'accept-ranges': 'bytes',
  });
  if (request.method === 'HEAD' || start > end) response.end();
  else await sendFile(path, { start, end }, response);
}

/** Whoever goes away in the middle has had enough; that is no error. */
async function sendFile(path: string, range: { start: number; end: number }, response: ServerResponse): Promise<void> {
  try {
    await pipeline(createReadStream(path, range), response);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}

/** The file asked for, or `undefined` for what is not served. */
function pathOf({ url, method }: IncomingMessage): string | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  const { pathname } = new URL(url ?? '/', 'http://localhost');
  if (pathname === '/') return join(ROOT, 'browser/index.html');
  const decoded = decode(pathname);
  if (decoded === undefined) return undefined;
  const inside = normalize(decoded).slice(1);
  return SERVED.includes(inside.split('/')[0]!) ? join(ROOT, inside) : undefined;
}

function decode(pathname: string): string | undefined {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return undefined;
  }
}

/** First and last byte asked for: all without a range. */
function rangeOf({ headers }: IncomingMessage, size: number): { readonly start: number; readonly end: number } {
  const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  if (start === undefined) return { start: 0, end: size - 1 };
  return { start: Number(start), end: end === '' ? size - 1 : Math.min(Number(end), size - 1) };
}
