// Random values, by a seed: `write <seed> <count> [before]` prints them as superjson, a line each; `check ...` reads what
// somebody made of those lines and counts what is not what it was. `before`: written by a superjson without `v`.
import superjson from 'superjson';
import old from 'superjson-before';
import { isDeepStrictEqual } from 'node:util';
import { createInterface } from 'node:readline';

const [, , action, seed, count, before] = process.argv;

let state = Number(seed);
function random() {
  // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

const parts = ['a', '.', '\\', '\\.', '0', 'é', '\\\\', ' ', '\n', '"', '.\\', '😀', 'json', 'meta', 'values'];
const key = () => Array.from({ length: below(4) }, () => pick(parts)).join('');
const text = () => pick(['', 'x', 'NaN', '2020-01-01T00:00:00.000Z', 'Kopi\u0000\n', '北京', '😀', '\\', '__proto__']);
const leaves = [
  () => null, () => true, () => false, () => undefined, text, text, () => below(1000), () => -below(1000), () => random() * 10 ** (below(40) - 20),
  () => pick([NaN, Infinity, -Infinity, -0, 0, 2 ** 53, -(2 ** 53), 1e21, 5e-324, 1.7976931348623157e308]),
  () => new Date(Math.floor((random() - 0.2) * 4e12)), () => BigInt(below(1e9)) ** BigInt(below(8)) * pick([1n, -1n]), () => new URL('https://a.example/b?c=d'), () => pick([/a\/b/gi, /\d+/]),
];
const many = (make) => Array.from({ length: below(4) }, make);
function value(depth) {
  if (depth === 0 || random() < 0.3) return pick(leaves)();
  const inner = () => value(depth - 1);
  return pick([
    () => many(inner), () => new Set(many(inner)), () => new Map(many(() => [inner(), inner()])),
    () => Object.fromEntries(many(() => [key(), inner()])), () => Object.fromEntries(many(() => [key(), inner()])),
  ])();
}

const comesBack = (one) => {
  // It loses its way where a key has a dot: nobody can read that.
  try {
    return isDeepStrictEqual(old.parse(old.stringify(one)), one);
  } catch {
    return false;
  }
};
const values = Array.from({ length: Number(count) }, () => value(4)).filter((one) => !before || comesBack(one));
if (action === 'write') {
  console.log(JSON.stringify(values.map((one) => (before ? old : superjson).stringify(one))));
} else {
  let index = 0;
  const wrong = [];
  for await (const line of createInterface({ input: process.stdin })) {
    const back = superjson.parse(line);
    if (!isDeepStrictEqual(back, values[index])) wrong.push({ index, wrote: superjson.stringify(values[index]), read: line });
    index += 1;
  }
  console.log(JSON.stringify({ read: index, wrong: wrong.slice(0, 5), differences: wrong.length }));
}
