/** Threads that wait in their seats for the next step: every part of every step is done once, whoever leaves when. */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { Barrier } from '../../../engine/runner/barrier.ts';
import { StepBoard } from '../../../engine/runner/step-board.ts';
import { type SeatTask, StepSeats } from '../../../engine/runner/step-seats.ts';
import { Rng } from '../../../engine/util/rng.ts';

const urlOf = (name: string): string => new URL(`../../../engine/runner/${name}.ts`, import.meta.url).href;

/** A step adds 1 to its part's cell; 'fail P' makes part P throw. */
const PROGRAM = `
  const { workerData, parentPort } = require('node:worker_threads');
  const { urls, numThreads, shared } = workerData;
  Promise.all(urls.map((url) => import(url))).then(([{ StepBoard }, { Barrier }]) => {
    const board = new StepBoard(numThreads, shared.board);
    const barrier = new Barrier(numThreads, shared.barrier);
    const cells = new Int32Array(shared.cells);
    parentPort.on('message', ({ part, patienceMs }) => {
      try {
        board.follow(part, patienceMs, (size) => {
          if (size === 'fail ' + part) throw new Error(size);
          cells[part]++;
          barrier.wait();
        });
        parentPort.postMessage('left');
      } catch (error) {
        parentPort.postMessage(error.message);
      }
    });
  });`;

/** Threads that do one task each at a time; one that has died is replaced. */
class Pool {
  readonly seats: StepSeats;
  readonly barrier: Barrier;
  readonly cells: Int32Array;
  readonly #workerData: object;
  readonly #idle: Worker[];
  readonly #waiting: ((worker: Worker) => void)[] = [];
  /** Who has a task. */
  readonly busy = new Set<Worker>();

  constructor(numThreads: number) {
    this.barrier = new Barrier(numThreads);
    this.seats = new StepSeats(numThreads, this.barrier, (task) => this.#run(task));
    this.cells = new Int32Array(new SharedArrayBuffer(numThreads * 4));
    const shared = { board: this.seats.board.buffer, barrier: this.barrier.buffer, cells: this.cells.buffer };
    this.#workerData = { urls: [urlOf('step-board'), urlOf('barrier')], numThreads, shared };
    this.#idle = Array.from({ length: numThreads }, () => this.#start());
  }

  #start = (): Worker => new Worker(PROGRAM, { eval: true, workerData: this.#workerData });

  async #run(task: SeatTask): Promise<void> {
    const worker = this.#idle.pop() ?? (await new Promise<Worker>((resolve) => this.#waiting.push(resolve)));
    this.busy.add(worker);
    const { promise, resolve } = Promise.withResolvers<string>();
    const die = (): void => resolve('died');
    worker.on('message', resolve);
    worker.on('exit', die);
    worker.postMessage(task);
    const outcome = await promise;
    worker.off('message', resolve);
    worker.off('exit', die);
    this.busy.delete(worker);
    const free = outcome === 'died' ? this.#start() : worker;
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(free);
    else next(free);
    if (outcome !== 'left') throw new Error(outcome);
  }

  async close(): Promise<void> {
    this.seats.dismiss();
    await Promise.all([...this.#idle, ...this.busy].map((worker) => worker.terminate()));
  }
}

let pool: Pool | undefined;
afterEach(async () => {
  await pool?.close();
  pool = undefined;
});

describe('threads in seats', () => {
  it.each([1, 2, 3])('%i do every step once, with any patience and any pauses', async (numThreads) => {
    pool = new Pool(numThreads);
    const rng = Rng.fromSeed(numThreads);
    const patience = [0, 1, 2, 100];
    for (let step = 1; step <= 400; step++) {
      expect(await pool.seats.run(`step ${step}`, patience[Math.floor(rng.nextFloat() * 4)]!)).toEqual([]);
      expect([...pool.cells]).toEqual(Array(numThreads).fill(step));
      const pause = rng.nextFloat();
      if (pause < 0.1) pool.seats.dismiss();
      if (pause < 0.2) await nextTurn();
      else if (pause < 0.4) await delay(1 + Math.floor(2 * rng.nextFloat()));
    }
  });

  it('say which part failed, after all have left; the next step finds them again', async () => {
    pool = new Pool(2);
    await pool.seats.run('good', 100);
    for (const part of [0, 1]) {
      const failures = await pool.seats.run(`fail ${part}`, 100);
      expect(failures.map(({ message }) => message)).toContain(`fail ${part}`);
      expect(pool.busy.size).toBe(0);
      pool.barrier.reset();
      expect(await pool.seats.run('good', 100)).toEqual([]);
    }
  });

  it('are replaced when they die between steps, and nobody notices', async () => {
    pool = new Pool(2);
    for (let round = 0; round < 3; round++) {
      expect(await pool.seats.run('good', 10_000)).toEqual([]);
      expect(pool.busy.size).toBe(2);
      const [victim] = pool.busy;
      await victim!.terminate();
      await nextTurn();
      expect(pool.busy.size).toBe(1);
    }
    expect(await pool.seats.run('good', 10_000)).toEqual([]);
    expect([...pool.cells]).toEqual([4, 4]);
  });

  it('are replaced unnoticed, too, after a step too large for the board', async () => {
    pool = new Pool(2);
    expect(await pool.seats.run('good', 10_000)).toEqual([]);
    await expect(pool.seats.run('x'.repeat(2 ** 20 + 1), 10_000)).rejects.toThrow('there is room for');
    const [victim] = pool.busy;
    await victim!.terminate();
    await nextTurn();
    expect(await pool.seats.run('good', 10_000)).toEqual([]);
  });

  it('leave when they are told to, or at once where nothing is up', async () => {
    pool = new Pool(2);
    await pool.seats.run('good', 60_000);
    pool.seats.dismiss();
    while (pool.busy.size > 0) await nextTurn();
    const board = new StepBoard(2, pool.seats.board.buffer);
    expect(board.claim(1)).toBe(true);
    board.follow(1, 60_000, () => expect.unreachable());
    expect(board.claim(1)).toBe(true);
    board.vacate(1);
  });

  it.each([
    ['the thread has it', false],
    ['the caller has it', true],
  ])('a step put up while a thread leaves is done by one only: %s', (_, isClaimed) => {
    class LateBoard extends StepBoard {
      override vacate(part: number): void {
        super.vacate(part);
        if (done.length === 1) void this.putUp('second');
        if (isClaimed) this.claim(part);
      }
    }
    const done: string[] = [];
    const board = new LateBoard(1);
    void board.putUp('first');
    board.claim(0);
    board.follow(0, 0, (size) => void done.push(size));
    expect(done).toEqual(isClaimed ? ['first'] : ['first', 'second']);
  });

  it('a thread that was slow to leave does not do again what another did meanwhile', () => {
    const done: string[] = [];
    const another = new StepBoard(1);
    class SlowBoard extends StepBoard {
      override vacate(part: number): void {
        super.vacate(part);
        if (done.length > 1) return;
        void this.putUp('second');
        this.claim(part);
        another.follow(part, 0, (size) => void done.push(`another: ${size}`));
      }
    }
    const board = new SlowBoard(1, another.buffer);
    void board.putUp('first');
    board.claim(0);
    board.follow(0, 0, (size) => void done.push(size));
    expect(done).toEqual(['first', 'another: second']);
    expect(board.claim(0)).toBe(true);
  });

  it('a step is not over because the caller is woken late, for the step before', async () => {
    const board = new StepBoard(1);
    const words = new Int32Array(board.buffer, 0, 5);
    let isOver = false;
    const over = board.putUp('first').then(() => {
      isOver = true;
    });
    for (let word = 0; word < words.length; word++) Atomics.notify(words, word);
    await delay(20);
    expect(isOver).toBe(false);
    board.claim(0);
    board.follow(0, 0, () => {});
    await over;
  });
});
