/** `npm run browser`: serves the page until interrupted. The first argument is a port. */
import { startPageServer } from './page-server.ts';

const { url } = await startPageServer(Number(process.argv[2] ?? 8080));
console.error(`${url} (in a browser with WebGPU; Ctrl-C ends)`);
