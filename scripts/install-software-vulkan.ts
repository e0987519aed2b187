/** Installs a GPU made of software (Mesa's lavapipe), so that the GPU tests run on a machine without one.
 *
 *   node scripts/install-software-vulkan.ts        into .cache/vulkan, where vitest.config.ts looks for it
 *
 * Takes Debian packages through apt with package lists of its own, and unpacks them with `dpkg -x`: needs apt and dpkg, no
 * root, and changes nothing outside the folder. Debian 12's own Mesa is too old for Dawn, hence the backport. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const FOLDER = resolve(import.meta.dirname, '../.cache/vulkan');
const MIRROR = 'http://deb.debian.org/debian';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** Mesa's version; the others follow from it. */
const MESA = '25.0.7-2~bpo12+1';
const PACKAGES = [
  `mesa-vulkan-drivers=${MESA}`,
  'libdrm2/bookworm-backports',
  'libdrm-amdgpu1/bookworm-backports',
  'libvulkan1/bookworm',
];
/** What the driver links against, where the machine lacks it. */
const LINKED_PACKAGES = ['libllvm15', 'libz3-4', 'libxcb1', 'libx11-xcb1', 'libxcb-dri3-0', 'libxcb-present0'].concat(
  ['libxcb-randr0', 'libxcb-shm0', 'libxcb-sync1', 'libxcb-xfixes0', 'libxshmfence1', 'libwayland-client0'],
  ['libxau6', 'libxdmcp6', 'libbsd0', 'libmd0', 'libelf1', 'libexpat1', 'libzstd1', 'libxml2', 'libedit2', 'libtinfo6'],
);
const LIBRARIES = join(FOLDER, 'root/usr/lib/x86_64-linux-gnu');
const DRIVER = join(LIBRARIES, 'libvulkan_lvp.so');

function main(): void {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`the packages are for linux x64, this is ${process.platform} ${process.arch}`);
  }
  const done = join(FOLDER, 'icd.json');
  if (existsSync(done)) {
    console.error(`already installed: ${FOLDER}`);
    return;
  }
  rmSync(FOLDER, { recursive: true, force: true });
  for (const folder of ['debs', 'root', 'apt/lists/partial', 'apt/cache/archives/partial']) {
    mkdirSync(join(FOLDER, folder), { recursive: true });
  }
  writeFileSync(
    join(FOLDER, 'apt/sources.list'),
    ['bookworm', 'bookworm-backports'].map((suite) => `deb [signed-by=${KEYRING}] ${MIRROR} ${suite} main\n`).join(''),
  );
  apt('update');
  install(PACKAGES);
  if (missingLibraries().length > 0) install(LINKED_PACKAGES);
  const missing = missingLibraries();
  if (missing.length > 0) throw new Error(`the driver needs libraries that are not here: ${missing.join(', ')}`);
  const icd = { file_format_version: '1.0.0', ICD: { library_path: DRIVER, api_version: '1.4.305' } };
  // Last, as it says that everything before went well.
  writeFileSync(done, JSON.stringify(icd));
  console.error(`installed Mesa ${MESA} (lavapipe) in ${FOLDER}`);
}

/** apt with state of its own. */
function apt(...args: readonly string[]): void {
  const options = {
    'Dir::Etc::sourcelist': join(FOLDER, 'apt/sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State': join(FOLDER, 'apt'),
    'Dir::State::lists': join(FOLDER, 'apt/lists'),
    'Dir::Cache': join(FOLDER, 'apt/cache'),
    'APT::Sandbox::User': '',
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  execFileSync('apt-get', ['-qq', ...flags, ...args], { cwd: join(FOLDER, 'debs'), stdio: ['ignore', 2, 2] });
}

function install(packages: readonly string[]): void {
  apt('download', ...packages);
  for (const name of readdirSync(join(FOLDER, 'debs'))) {
    execFileSync('dpkg', ['-x', join(FOLDER, 'debs', name), join(FOLDER, 'root')], { stdio: ['ignore', 2, 2] });
  }
}

function missingLibraries(): string[] {
  const report = execFileSync('ldd', [DRIVER], {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: LIBRARIES },
  });
  return [...report.matchAll(/^\s*(\S+) => not found/gm)].map((match) => match[1]!);
}

main();
