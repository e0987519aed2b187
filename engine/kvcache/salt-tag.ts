/** What stands for a cache salt once a request has named it: a digest. Two chains belong together exactly when their tags
 * are equal, and a prompt-cache file can say which salt its blocks are for without giving the salt away. A salt that can
 * be guessed can be found by trying; one that must stay secret has to be long and random. */
import { hash } from 'node:crypto';

/** SHA-256 in hexadecimal: 64 characters, the same on every machine. */
export function saltTag(cacheSalt: string): string {
  // UTF-16, because UTF-8 turns every unpaired surrogate into the same character and two salts into one tag.
  return hash('sha256', Buffer.from(`quern cacheSalt ${cacheSalt}`, 'utf16le'), 'hex');
}
