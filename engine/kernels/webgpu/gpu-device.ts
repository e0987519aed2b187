/** One WebGPU device and what became of it: which adapter it is, what it offers, whether it is still there, and every
 * error that the driver reported. Buffers are `gpu-memory.ts`'s business, commands `command-recorder.ts`'s.
 *
 * WebGPU reports errors later, and to whoever asks: `check` runs something under an error scope and keeps the answer;
 * `settle` waits for the answers and throws the first error. Until then everything goes on with objects that do nothing.
 * Source  WebGPU, sections 4.4 (devices), 22.1 (fatal errors) and 22.3 (error scopes) */
import { DeviceError, DeviceLostError, EngineClosedError, OutOfMemoryError, type QuernError } from '../../errors.ts';
import { type AdapterSummary, summarizeAdapter } from './gpu-adapter.ts';
import { askPatiently } from './polling.ts';

/** Device features that kernels know to use, where the adapter has them. */
const WANTED_FEATURES = [
  'shader-f16',
  'subgroups',
  'timestamp-query',
  'chromium-experimental-subgroup-matrix',
] as const;

/** Limits that are raised to what the adapter allows: the defaults are those of a phone. */
const RAISED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

/** Limits that are lowered: smaller is better. */
const LOWERED_LIMITS = ['minStorageBufferOffsetAlignment', 'minUniformBufferOffsetAlignment'] as const;

/** What is asked for at each dispatch. Copied, as every look at the device's own object goes through all of them. */
const LIMITS = [...RAISED_LIMITS, ...LOWERED_LIMITS, 'maxComputeWorkgroupsPerDimension'] as const;

type LimitName = (typeof LIMITS)[number];

export type GpuLimits = Readonly<Record<LimitName, number>>;

export class GpuDevice {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  readonly limits: GpuLimits;
  readonly features: ReadonlySet<string>;
  /** Dawn's entry object, held because a collected one takes the process with it while a device lives. */
  readonly gpu: GPU;
  #checks: Promise<QuernError | undefined>[] = [];
  #lost: DeviceLostError | undefined;
  #firstError: QuernError | undefined;
  #isClosed = false;

  private constructor(gpu: GPU, adapter: AdapterSummary, device: GPUDevice) {
    this.gpu = gpu;
    this.adapter = adapter;
    this.device = device;
    const limits: Partial<Record<LimitName, number>> = {};
    for (const name of LIMITS) limits[name] = device.limits[name];
    this.limits = limits as GpuLimits;
    this.features = new Set(device.features);
    void device.lost.then(({ reason, message }) => {
      if (!this.#isClosed) this.#lost = new DeviceLostError(adapter.name, message || reason);
    });
    // What no scope caught must not be printed and forgotten.
    device.onuncapturederror = ({ error }) => {
      this.#firstError ??= asQuernError('a command', error);
    };
  }

  /** @throws DeviceError when the driver gives no device */
  static async open(gpu: GPU, adapter: GPUAdapter): Promise<GpuDevice> {
    const requiredLimits: Record<string, number> = {};
    for (const name of [...RAISED_LIMITS, ...LOWERED_LIMITS]) requiredLimits[name] = adapter.limits[name];
    // Dawn's own feature is not among the standard's names.
    const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
    const summary = summarizeAdapter(adapter);
    try {
      return new GpuDevice(gpu, summary, await adapter.requestDevice({ requiredFeatures, requiredLimits }));
    } catch (cause) {
      throw new DeviceError(`a device on ${summary.name}`, cause instanceof Error ? cause.message : String(cause), {
        cause,
      });
    }
  }

  /** Set when the device went without having been closed. */
  get loss(): DeviceLostError | undefined {
    return this.#lost;
  }

  /** @throws EngineClosedError after `close`, DeviceLostError when the device is gone */
  expectAlive(): void {
    if (this.#isClosed) throw new EngineClosedError();
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Runs `body`, and keeps whatever error the driver reports about it for `settle`.
   * @param bytes  what `body` allocates, for the message when there is no room */
  check<T>(what: string, body: () => T, bytes?: number): T {
    if (bytes !== undefined) this.device.pushErrorScope('out-of-memory');
    this.device.pushErrorScope('validation');
    try {
      return body();
    } finally {
      for (let depth = bytes === undefined ? 1 : 2; depth > 0; depth--) {
        // A scope of a device that is lost is never answered with an error, but may be refused.
        const answer = askPatiently(() => this.device.popErrorScope()).then(
          (error) => (error === null ? undefined : asQuernError(what, error, bytes)),
          () => undefined,
        );
        this.#checks.push(answer);
      }
    }
  }

  /** Waits for every check so far.
   * @throws the first error since the last call: DeviceLostError, DeviceError or OutOfMemoryError */
  async settle(): Promise<void> {
    for (const check of this.#checks.splice(0)) this.#firstError ??= await check;
    this.expectAlive();
    const error = this.#firstError;
    this.#firstError = undefined;
    if (error !== undefined) throw error;
  }

  /** Waits for everything submitted so far.
   * @throws as `settle` */
  async finish(): Promise<void> {
    this.expectAlive();
    await this.whileAlive(askPatiently(() => this.device.queue.onSubmittedWorkDone()));
    await this.settle();
  }

  /** What `work` resolves to; when the driver refuses it, the reason it refused.
   * @throws as `settle` */
  async whileAlive<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      // `lost` resolves in a turn of its own.
      await new Promise((resolve) => setImmediate(resolve));
      await this.settle();
      throw new DeviceError('a read', cause instanceof Error ? cause.message : String(cause), { cause });
    }
  }

  /** Gives the device back. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all(this.#checks.splice(0));
    this.device.destroy();
    await this.device.lost;
  }
}

function asQuernError(what: string, error: GPUError, bytes = 0): QuernError {
  const isOutOfMemory = error.constructor.name === 'GPUOutOfMemoryError';
  if (isOutOfMemory)
    return new OutOfMemoryError(what, bytes, 'the GPU has no room: use a smaller model or fewer KV blocks');
  return new DeviceError(what, error.message);
}
