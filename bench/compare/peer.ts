/** What `bench/compare` asks of an engine, and how an engine answers from a process of its own: one message a question,
 * one an answer. */
import type { BenchTest } from '../../cli/bench/bench-test.ts';

export interface PeerOptions {
  readonly model: string;
  readonly threads: number;
  /** All that will be measured, so that memory can be had at once. */
  readonly tests: readonly BenchTest[];
  /** Of Quern's KV cache; llama.cpp's default is f16. */
  readonly kvDtype: 'f32' | 'f16' | 'q8_0';
}

/** What an engine says about itself, kept with the results. */
export type PeerFacts = Readonly<Record<string, unknown>>;

export interface Peer {
  /** Resolves when the first token need not wait. Called once. */
  load(options: PeerOptions): Promise<PeerFacts>;
  /** Puts into the KV cache what the test finds there. */
  prepare(test: BenchTest): Promise<void>;
  /** @returns tokens per second */
  measure(test: BenchTest, repetition: number): Promise<number>;
}

export type PeerCall =
  | { readonly call: 'load'; readonly options: PeerOptions }
  | { readonly call: 'prepare'; readonly test: BenchTest }
  | { readonly call: 'measure'; readonly test: BenchTest; readonly repetition: number }
  | { readonly call: 'peakRss' };

export type PeerAnswer = { readonly value: unknown } | { readonly error: string };

/** Says that it is ready, then answers until the parent goes away. */
export function servePeer(peer: Peer): void {
  const send = (answer: PeerAnswer): void => void process.send?.(answer);
  process.on('disconnect', () => process.exit());
  process.on('message', (message) => {
    answer(peer, message as PeerCall).then(
      (value) => send({ value }),
      (error) => send({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  send({ value: 'ready' });
}

async function answer(peer: Peer, message: PeerCall): Promise<unknown> {
  switch (message.call) {
    case 'load':
      return peer.load(message.options);
    case 'prepare':
      return peer.prepare(message.test);
    case 'measure':
      return peer.measure(message.test, message.repetition);
    case 'peakRss':
      // getrusage(2) counts kibibytes.
      return process.resourceUsage().maxRSS * 1024;
    default:
      return message satisfies never;
  }
}
