/** Node's globals that the engine uses. Imported before anything of the engine. */
import { Buffer } from './buffer.ts';

/** Runs when the queue of tasks comes round to it; a timer would wait 4 ms. */
function setImmediate(callback: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    callback();
  };
  port2.postMessage(undefined);
}

const process = {
  env: {} as Readonly<Record<string, string | undefined>>,
  platform: 'browser',
  execArgv: [] as readonly string[],
  emitWarning: (message: string): void => console.warn(message),
};

Object.assign(globalThis, { Buffer, process, setImmediate });
