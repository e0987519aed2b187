/** What the doctor says about GPUs, on machines that are made up. */
import { describe, expect, it } from 'vitest';
import { type GpuReport, gpuDevices, whyNoAdapter } from '../../../cli/doctor/gpu-report.ts';
import { type VulkanSources, vulkanDrivers, vulkanLoader } from '../../../cli/doctor/vulkan-drivers.ts';

/** A machine that has these files and no others. */
function machine(files: Readonly<Record<string, string>>, env: Readonly<Record<string, string>> = {}): VulkanSources {
  const paths = Object.keys(files);
  return {
    env,
    exists: (path) => path in files,
    list: (folder) =>
      paths.filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1)),
    read: (path) => files[path]!,
  };
}

const icd = (library: string): string => JSON.stringify({ ICD: { library_path: library } });

describe('Vulkan drivers', () => {
  it('are those of the folders, with what is plainly wrong with them', () => {
    const drivers = vulkanDrivers(
      machine({
        '/usr/share/vulkan/icd.d/lvp.json': icd('/usr/lib/lvp.so'),
        '/usr/share/vulkan/icd.d/nvidia.json': icd('libGLX_nvidia.so.0'),
        '/etc/vulkan/icd.d/near.json': icd('../near.so'),
        '/etc/vulkan/icd.d/torn.json': '{',
        '/etc/vulkan/icd.d/empty.json': '{}',
        '/etc/vulkan/icd.d/README': '',
        '/etc/vulkan/near.so': '',
      }),
    );
    expect(drivers).toEqual([
      { file: '/etc/vulkan/icd.d/empty.json', problem: 'names no library' },
      { file: '/etc/vulkan/icd.d/near.json', problem: null },
      { file: '/etc/vulkan/icd.d/torn.json', problem: expect.stringContaining('JSON') },
      { file: '/usr/share/vulkan/icd.d/lvp.json', problem: 'its library /usr/lib/lvp.so is missing' },
      { file: '/usr/share/vulkan/icd.d/nvidia.json', problem: null },
    ]);
  });

  it('are those of a variable instead, if it is set', () => {
    const files = { '/usr/share/vulkan/icd.d/lvp.json': icd('lvp.so'), '/own.json': icd('own.so') };
    expect(vulkanDrivers(machine(files, { VK_DRIVER_FILES: '/own.json:/none.json' }))).toEqual([
      { file: '/own.json', problem: null },
      { file: '/none.json', problem: 'there is no such file' },
    ]);
  });

  it('need a loader', () => {
    expect(vulkanLoader(machine({}))).toBeNull();
    expect(vulkanLoader(machine({ '/usr/lib64/libvulkan.so.1': '' }))).toBe('/usr/lib64/libvulkan.so.1');
    const own = machine({ '/own/libvulkan.so.1': '', '/usr/lib/libvulkan.so.1': '' }, { LD_LIBRARY_PATH: ':/own' });
    expect(vulkanLoader(own)).toBe('/own/libvulkan.so.1');
  });
});

it('devices are what /dev shows', () => {
  expect(gpuDevices(machine({}))).toEqual([]);
  const files = { '/dev/dri/card0': '', '/dev/dri/renderD128': '', '/dev/nvidia0': '' };
  expect(gpuDevices(machine(files))).toEqual(['/dev/dri/renderD128', '/dev/nvidia0']);
});

describe('without an adapter, the first thing missing is named', () => {
  const facts: Omit<GpuReport, 'reason'> = {
    packages: { webgpu: '0.6.2', 'gpu.js': '2.24.1' },
    devices: [],
    vulkanLoader: '/usr/lib/libvulkan.so.1',
    vulkanDrivers: [{ file: '/lvp.json', problem: null }],
    adapter: null,
  };
  const why = (parts: Partial<GpuReport>): string => whyNoAdapter({ ...facts, ...parts }, 'no adapter');

  it.each([
    ['the package', { packages: { webgpu: null, 'gpu.js': null } }, /^no adapter$/],
    ['nothing that is known of, elsewhere than on Linux', { devices: null, vulkanDrivers: null }, /^no adapter$/],
    ['the loader', { vulkanLoader: null }, /libvulkan\.so\.1/],
    ['a GPU and its driver', { vulkanDrivers: [] }, /no Vulkan driver is installed, and no GPU is to be seen/],
    ['the driver of a GPU', { vulkanDrivers: [], devices: ['/dev/nvidia0'] }, /driver of the GPU above/],
    [
      "a driver's library",
      { vulkanDrivers: [{ file: '/a.json', problem: 'its library b is missing' }] },
      /a\.json: its lib/,
    ],
    ['a driver that is new enough', {}, /offer WebGPU no device/],
  ] as const)('%s', (_, parts, expected) => {
    expect(why(parts as Partial<GpuReport>)).toMatch(expected);
  });
});
