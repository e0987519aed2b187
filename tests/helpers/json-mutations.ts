/** Damage to a JSON document that is still JSON: what a generator with a bug writes, or somebody who has read the parser.
 * Flipped bytes hardly get past the parser; these do. */
import fc from 'fast-check';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Values of every type, and of sizes that nobody expects. */
const ODD: readonly Json[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 31,
  2 ** 53,
  '',
  'x',
  'x'.repeat(100_000),
  '\ud800',
  '[',
  '(',
  '__proto__',
  [],
  [[]],
  {},
  Array.from({ length: 3000 }, (_, i) => i),
];

interface Place {
  readonly parent: Json[] | { [name: string]: Json };
  readonly key: string | number;
}

/** Every value of the document but itself, the ones near the root first. */
function placesIn(root: Json): Place[] {
  const places: Place[] = [];
  const containers: Json[] = [root];
  for (const parent of containers) {
    if (typeof parent !== 'object' || parent === null) continue;
    for (const key of Array.isArray(parent) ? parent.keys() : Object.keys(parent)) {
      places.push({ parent, key } as Place);
      containers.push((parent as Record<string | number, Json>)[key]!);
    }
  }
  return places;
}

/** Changes a place of the document; `other` is another one. */
type Change = (place: Place, other: Json) => void;

const set = ({ parent, key }: Place, value: Json): void => {
  (parent as Record<string | number, Json>)[key] = value;
};
const get = ({ parent, key }: Place): Json => (parent as Record<string | number, Json>)[key]!;

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.constantFrom(...ODD).map(
    (value): Change =>
      (place) =>
        set(place, structuredClone(value)),
  ),
  fc.constant<Change>((place, other) => set(place, structuredClone(other))),
  fc.constant<Change>(({ parent, key }) => {
    if (Array.isArray(parent)) parent.splice(key as number, 1);
    else delete parent[key];
  }),
  fc.constantFrom(1, -1, 0.5, 1e6, 2 ** 40).map(
    (by): Change =>
      (place) => {
        const value = get(place);
        if (typeof value === 'number') set(place, value + by);
        else if (typeof value === 'string') set(place, `${value}▁`);
      },
  ),
);

/** A copy of the document with one to three changes. */
export function mutatedJson(document: unknown): fc.Arbitrary<unknown> {
  // Vocabularies are long, and what matters lies near the root: half of all changes are made there.
  const spot = fc.oneof(fc.nat({ max: 60 }), fc.nat());
  return fc.array(fc.tuple(spot, spot, change), { minLength: 1, maxLength: 3 }).map((changes) => {
    const copy = structuredClone(document) as Json;
    for (const [at, from, apply] of changes) {
      const places = placesIn(copy);
      if (places.length > 0) apply(places[at % places.length]!, get(places[from % places.length]!));
    }
    return copy;
  });
}
