/** Debian packages in a folder of ours: fetched by the machine's own apt (its mirror, proxy and keys), unpacked with
 * `dpkg -x`. Needs no root and changes nothing outside the folder: package lists, downloads and files are all inside.
 *
 *   .cache/debian/lists, archives      what apt fetched; shared by all that is installed
 *   .cache/NAME/usr/lib/...            what one `unpack` made of it */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { debianSources } from './debian-sources.ts';

export const CACHE = resolve(import.meta.dirname, '../../.cache');

/** The release that the pinned versions are of. */
export const RELEASE = 'bookworm';

export class DebianPackages {
  readonly #folder = join(CACHE, 'debian');

  /** Fetches the package lists.
   * @throws Error that says which of apt, its sources or the network is missing */
  constructor() {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      throw new Error(`the packages are for linux x64, this is ${process.platform} ${process.arch}`);
    }
    for (const tool of ['apt-get', 'dpkg-deb']) expectTool(tool);
    for (const folder of ['lists/partial', 'archives/partial']) {
      mkdirSync(join(this.#folder, folder), { recursive: true });
    }
    const failures: string[] = [];
    for (const sources of debianSources(RELEASE)) {
      writeFileSync(join(this.#folder, 'sources.list'), sources);
      const failure = this.#tryApt('update', '--error-on=any');
      if (failure === undefined) return;
      failures.push(`${sources}${failure}`);
    }
    throw new Error(`no package lists of Debian ${RELEASE} could be fetched:\n${failures.join('\n')}`);
  }

  /** Fetches packages and whatever they need that this machine lacks.
   * @param packages  as apt takes them: NAME, NAME=VERSION or NAME/SUITE
   * @returns their files */
  download(packages: readonly string[]): readonly string[] {
    const archives = join(this.#folder, 'archives');
    // What an earlier call left would be among the results.
    rmSync(archives, { recursive: true, force: true });
    mkdirSync(join(archives, 'partial'), { recursive: true });
    // Reinstall: the packages themselves are wanted here even where the machine has them.
    const options = ['--yes', '--no-install-recommends', '--download-only', '--allow-downgrades', '--reinstall'];
    const failure = this.#tryApt('install', ...options, ...packages);
    if (failure !== undefined) throw new Error(`apt cannot fetch ${packages.join(' ')}:\n${failure}`);
    return readdirSync(archives)
      .filter((name) => name.endsWith('.deb'))
      .map((name) => join(archives, name));
  }

  /** Unpacks packages into a folder. */
  unpack(archives: readonly string[], folder: string): void {
    mkdirSync(folder, { recursive: true });
    for (const archive of archives) execFileSync('dpkg-deb', ['-x', archive, folder], { stdio: ['ignore', 2, 2] });
  }

  /** Frees what only downloads needed. */
  forgetArchives(): void {
    rmSync(join(this.#folder, 'archives'), { recursive: true, force: true });
  }

  /** Runs apt with a state of its own.
   * @returns what it said when it failed */
  #tryApt(...args: readonly string[]): string | undefined {
    const options = {
      'Dir::Etc::sourcelist': join(this.#folder, 'sources.list'),
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::State': this.#folder,
      'Dir::State::lists': join(this.#folder, 'lists'),
      // What is installed is the machine's: nothing is fetched that is there.
      'Dir::State::status': existsSync('/var/lib/dpkg/status') ? '/var/lib/dpkg/status' : '/dev/null',
      'Dir::Cache': this.#folder,
      'Dir::Cache::archives': join(this.#folder, 'archives'),
      'APT::Sandbox::User': '',
      'Debug::NoLocking': 'true',
      'Acquire::Retries': '3',
      'Acquire::http::Timeout': '30',
      'Acquire::Languages': 'none',
    };
    const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    try {
      execFileSync('apt-get', ['-qq', ...flags, ...args], { stdio: 'pipe', env: { ...process.env, LC_ALL: 'C' } });
      return undefined;
    } catch (error) {
      const { stderr, message } = error as { readonly stderr?: Buffer; readonly message: string };
      return stderr?.toString().trim() || message;
    }
  }
}

function expectTool(name: string): void {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
  } catch {
    throw new Error(`this machine has no ${name}: the packages are Debian's`);
  }
}
