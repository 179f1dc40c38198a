// Talks to a gateway with a real client: node talk.mjs <oldest|newest> <superjson|plain> <url>. Prints what came, as JSON.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , version, transformer, url] = process.argv;
const load = createRequire(new URL(`./${version}/index.js`, import.meta.url));
const { createTRPCClient, httpBatchLink, httpBatchStreamLink, httpLink, httpSubscriptionLink, splitLink } = load('@trpc/client');
const { EventSource } = load('eventsource');
const { default: superjson } = await import(pathToFileURL(load.resolve('superjson')).href);

const options = { url: `${url}/api/trpc`, ...(transformer === 'superjson' && { transformer: superjson }) };
const requests = [];
const fetching = { ...options, fetch: (address, init) => (requests.push(`${init.method} ${new URL(address).pathname}`), fetch(address, init)) };
const links = {
  httpLink: httpLink(fetching),
  httpBatchLink: httpBatchLink(fetching),
  httpBatchStreamLink: httpBatchStreamLink(fetching),
  'httpLink by POST': httpLink({ ...fetching, methodOverride: 'POST' }),
  'httpBatchLink by POST': httpBatchLink({ ...fetching, methodOverride: 'POST' }),
};

// Dates are marked, so that they can be told from text.
const shown = (value) => {
  if (value instanceof Date) return { date: value.toISOString() };
  if (Array.isArray(value)) return value.map(shown);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shown(one)]));
  return value;
};
const told = (error) => ({ error: { name: error.name, message: error.message, shape: error.shape } });
const outcome = (promise) => promise.then(shown, told);

const report = {};
for (const [name, link] of Object.entries(links)) {
  const { video } = createTRPCClient({
    links: [splitLink({ condition: (op) => op.type === 'subscription', true: httpSubscriptionLink({ ...options, EventSource }), false: link })],
  });
  const steps = (report[name] = {});
  steps.generate = await outcome(video.generate.mutate({ prompt: `a fox by ${name}`, niche: undefined, sceneCount: 2 }));
  const { videoId } = steps.generate;
  const unknown = '00000000-0000-0000-0000-000000000009';
  requests.length = 0;
  const together = { list: video.list.query(), page: video.list.query({ limit: 1 }), status: video.status.query({ videoId }), get: video.get.query({ videoId }), unknown: video.get.query({ videoId: unknown }) };
  for (const [step, promise] of Object.entries(together)) steps[step] = outcome(promise);
  for (const step of Object.keys(together)) steps[step] = await steps[step];
  steps.requests = [...requests];
  steps.invalid = await outcome(video.generate.mutate({ prompt: '', sceneCount: 9 }));
  steps.noSuch = await outcome(video.destroy.query({ videoId }));
  // What was missed first, then what comes: it is cancelled once the first event is there.
  steps.events = await new Promise((done) => {
    const heard = [];
    video.events.subscribe({ videoId, lastSeq: 0 }, {
      onStarted: () => heard.push('started'),
      async onData({ id, data }) {
        heard.push([id, data.type, data.data.seq]);
        if (heard.length === 2) steps.cancel = await outcome(video.cancel.mutate({ videoId }));
      },
      onError: (error) => done([...heard, told(error)]),
      onComplete: () => done([...heard, 'complete']),
    });
  });
  steps.cancelUnknown = await outcome(video.cancel.mutate({ videoId: unknown }));
  steps.eventsOfUnknown = await new Promise((done) => {
    video.events.subscribe({ videoId: unknown }, { onError: (error) => done(told(error)), onComplete: () => done('complete') });
  });
}
console.log(JSON.stringify(report));
