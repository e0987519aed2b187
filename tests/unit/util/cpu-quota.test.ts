import { describe, expect, it } from 'vitest';
import { availableThreads, cgroupQuota } from '../../../engine/util/cpu-quota.ts';

const machine = (affinity: number, files: Record<string, string>) => ({
  affinity: () => affinity,
  read: (path: string) => files[path],
  sharesMemory: () => true,
});

describe('cgroup v2', () => {
  const own = '0::/system.slice/app.service\n';

  it('takes the tightest limit on the way to the root', () => {
    const sources = machine(16, {
      '/proc/self/cgroup': own,
      '/sys/fs/cgroup/system.slice/app.service/cpu.max': '400000 100000\n',
      '/sys/fs/cgroup/system.slice/cpu.max': '250000 100000\n',
      '/sys/fs/cgroup/cpu.max': 'max 100000\n',
    });
    expect(cgroupQuota(sources)).toBe(2.5);
    expect(availableThreads(sources)).toBe(3);
  });

  it('knows no limit from "max" or from a missing file', () => {
    expect(
      cgroupQuota(machine(4, { '/proc/self/cgroup': own, '/sys/fs/cgroup/cpu.max': 'max 100000' })),
    ).toBeUndefined();
    expect(availableThreads(machine(4, {}))).toBe(4);
  });

  it('finds the limit of a namespaced container at the root', () => {
    const files = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '50000 100000\n' };
    expect(availableThreads(machine(8, files))).toBe(1);
  });
});

describe('cgroup v1', () => {
  const files = {
    '/proc/self/cgroup': '12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n',
    '/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us': '100000\n',
  };

  it('reads -1 as no limit', () => {
    expect(cgroupQuota(machine(4, files))).toBeUndefined();
  });

  it('divides quota by period', () => {
    const limited = { ...files, '/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us': '300000\n' };
    expect(availableThreads(machine(16, limited))).toBe(3);
  });
});

it('never exceeds the affinity mask and never goes below one', () => {
  const generous = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '6400000 100000\n' };
  expect(availableThreads(machine(2, generous))).toBe(2);
  expect(availableThreads(machine(0, {}))).toBe(1);
  for (const garbage of ['', 'x y', '-5 100000', '1 0', 'NaN NaN']) {
    expect(availableThreads(machine(3, { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': garbage }))).toBe(3);
  }
});

it('is none where threads would share no memory', () => {
  expect(availableThreads({ ...machine(8, {}), sharesMemory: () => false })).toBe(0);
});
