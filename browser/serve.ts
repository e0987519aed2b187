/** `npm run browser`: serves the page until interrupted. The first argument is a port. */
import { startPageServer } from './page-server.ts';

const port = process.argv[2] ?? '8080';
try {
  const { url } = await startPageServer(Number(port));
  console.error(`${url} (in a browser with WebGPU; Ctrl-C ends)`);
} catch (error) {
  console.error(`port ${port}: ${(error as Error).message}`);
  process.exitCode = 1;
}
