/** Where this machine gets Debian from, as apt's own configuration says: a mirror that somebody chose is used, and only
 * where there is none the public one. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const PUBLIC_MIRROR = 'http://deb.debian.org/debian';
const PUBLIC_SECURITY_MIRROR = 'http://deb.debian.org/debian-security';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Texts of a `sources.list` for a release and its backports, the one to try first first. */
export function debianSources(release: string): readonly string[] {
  const configured = configuredRepositories();
  const own = configured.get(release);
  const security = configured.get(`${release}-security`) ?? PUBLIC_SECURITY_MIRROR;
  const texts = [own, PUBLIC_MIRROR]
    .filter((mirror) => mirror !== undefined)
    .map((mirror) => sourcesList(release, mirror, security));
  return [...new Set(texts)];
}

function sourcesList(release: string, mirror: string, security: string): string {
  // Without Debian's keys apt falls back on those that it trusts for everything.
  const options = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : '';
  return [
    `deb ${options}${mirror} ${release} main\n`,
    `deb ${options}${mirror} ${release}-backports main\n`,
    `deb ${options}${security} ${release}-security main\n`,
  ].join('');
}

/** The configured repositories by suite. apt itself reads its files, whatever their format, and names what it would fetch:
 *
 *   'http://deb.debian.org/debian/dists/bookworm/InRelease' deb.debian.org_debian_dists_bookworm_InRelease 0 */
function configuredRepositories(): ReadonlyMap<string, string> {
  let uris: string;
  try {
    uris = execFileSync('apt-get', ['update', '--print-uris'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return new Map();
  }
  const repositories = [...uris.matchAll(/^'(\S+)\/dists\/([\w-]+)\/InRelease'/gm)];
  // The first one counts, as it does for apt.
  return new Map(repositories.toReversed().map(([, mirror, suite]) => [suite!, mirror!]));
}
