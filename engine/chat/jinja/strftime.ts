/** `strftime_now`: the date as templates print it ("26 Jul 2024"). English names whatever the host's language is: that is
 * what the model was trained on. Source: Python, `datetime.strftime`. */

const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** Local time. A directive that is not known stays as it is written. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%-?([a-zA-Z%])/g, (directive, letter: string) => {
    const value = directiveValue(date, letter);
    return value === undefined ? directive : directive.startsWith('%-') ? value.replace(/^0+(?=.)/, '') : value;
  });
}

function directiveValue(date: Date, letter: string): string | undefined {
  const two = (value: number): string => String(value).padStart(2, '0');
  switch (letter) {
    case 'Y':
      return String(date.getFullYear());
    case 'y':
      return two(date.getFullYear() % 100);
    case 'm':
      return two(date.getMonth() + 1);
    case 'd':
      return two(date.getDate());
    case 'e':
      return String(date.getDate()).padStart(2, ' ');
    case 'B':
      return MONTHS[date.getMonth()];
    case 'b':
    case 'h':
      return MONTHS[date.getMonth()]!.slice(0, 3);
    case 'A':
      return DAYS[date.getDay()];
    case 'a':
      return DAYS[date.getDay()]!.slice(0, 3);
    case 'H':
      return two(date.getHours());
    case 'I':
      return two(date.getHours() % 12 || 12);
    case 'M':
      return two(date.getMinutes());
    case 'S':
      return two(date.getSeconds());
    case 'p':
      return date.getHours() < 12 ? 'AM' : 'PM';
    case 'j':
      return String(dayOfYear(date)).padStart(3, '0');
    case 'F':
      return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    case 'T':
      return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
    case '%':
      return '%';
    default:
      return undefined;
  }
}

function dayOfYear(date: Date): number {
  const midnights = [Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()), Date.UTC(date.getFullYear(), 0, 0)];
  return (midnights[0]! - midnights[1]!) / 86_400_000;
}
