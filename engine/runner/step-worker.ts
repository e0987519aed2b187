/** The code of a worker thread: attaches to the backend's shared memory, does jobs while weights load, learns the model, then
 * runs its part of each step. Loaded through `step-worker-entry.cts`. */
import { workerData } from 'piscina';
import { attachWorkerBackend, type WorkerBackend, type WorkerMessage } from '../kernels/worker-backends.ts';
import { findModelFamily } from '../model/model-registry.ts';
import { Candidates } from '../sampling/candidates.ts';
import { runSampleJob } from '../sampling/run-sample-job.ts';
import type { SampleJobResult } from '../sampling/sample-job.ts';
import { Barrier, BarrierPoisonedError } from './barrier.ts';
import type { RowJob } from './row-sampling.ts';
import { decodePlan, type SharedPlan } from './shared-plan.ts';
import { StepBoard } from './step-board.ts';
import { runStep, type StepModel, type StepSize } from './step-program.ts';
import type { SeatTask } from './step-seats.ts';

/** What a worker is born with. */
export interface StepWorkerData {
  readonly numThreads: number;
  readonly barrier: SharedArrayBuffer;
  readonly board: SharedArrayBuffer;
  /** Undefined until there is one. */
  backend: WorkerMessage | undefined;
  /** Undefined while weights load. */
  plan: SharedPlan | undefined;
}

/** The backend whose jobs and steps are to come. The workers meet, so that each takes one. */
export interface AttachTask {
  readonly part: number;
  readonly backend: WorkerMessage;
}

/** What the steps to come compute. The workers meet, so that each takes one. */
export interface PlanTask {
  readonly part: number;
  readonly plan: SharedPlan;
}

/** A backend's job, for one worker alone. */
export interface JobTask {
  readonly job: unknown;
}

/** Rows of the last step's logits to sample from, for one worker alone. */
export interface RowsTask {
  readonly rows: readonly RowJob[];
}

export type WorkerTask = SeatTask | AttachTask | PlanTask | JobTask | RowsTask;

const { numThreads, backend: message, plan, ...shared } = workerData as StepWorkerData;
const barrier = new Barrier(numThreads, shared.barrier);
const board = new StepBoard(numThreads, shared.board);
let backend = message === undefined ? undefined : attachWorkerBackend(message);
let model = plan === undefined ? undefined : modelOf(plan);

/** Made when it is first needed: few requests need whole rows. */
let candidates: Candidates | undefined;

/** Piscina calls it for every task.
 * @returns what the job returns, or the rows' tokens
 * @throws BarrierPoisonedError when another worker failed; what an op or a job threw, after freeing the others. */
export function runTask(task: WorkerTask): unknown {
  try {
    if ('job' in task) return attached().runJob(task.job);
    if ('rows' in task) return sampleRows(task);
    if ('backend' in task) attach(task);
    else if ('plan' in task) learn(task);
    else board.follow(task.part, task.patienceMs, (size) => runPart(task.part, size));
    return undefined;
  } catch (error) {
    if (!(error instanceof BarrierPoisonedError)) barrier.poison();
    throw error;
  }
}

function attach({ backend: message }: AttachTask): void {
  backend = attachWorkerBackend(message);
  barrier.wait();
}

function attached(): WorkerBackend {
  if (backend === undefined) throw new Error('a task came before the backend');
  return backend;
}

function learn({ plan }: PlanTask): void {
  model = modelOf(plan);
  barrier.wait();
}

/** Any thread can do any part: all state is in shared memory. */
function runPart(part: number, size: string): void {
  const step = model;
  if (step === undefined) throw new Error('a step came before the model');
  const thread = { part: { index: part, count: numThreads }, gate: barrier };
  attached().repeat(step, size, thread, (ops) => runStep(ops, step, JSON.parse(size) as StepSize));
}

function sampleRows({ rows }: RowsTask): SampleJobResult[] {
  return rows.map(({ place, job, logits = sharedRow(place) }) => {
    candidates ??= new Candidates(logits.length);
    return runSampleJob(job, logits, candidates);
  });
}

function sharedRow(place: number): Float32Array {
  if (model === undefined) throw new Error('a row came before the model');
  return attached().view(model.memory.activations.logits.slice(place, place + 1));
}

function modelOf(plan: SharedPlan): StepModel {
  return decodePlan(plan, findModelFamily(plan.config.architecture), attached().codec);
}
