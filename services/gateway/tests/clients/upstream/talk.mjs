// Calls procedures of the gateway and of the application behind it, mixed, as the application's page does:
// node upstream/talk.mjs <superjson|plain> <url>. Prints what came, as JSON.
import { createTRPCClient, httpBatchLink, httpBatchStreamLink, httpLink } from '@trpc/client';
import superjson from 'superjson';

const [, , transformer, url] = process.argv;
const requests = [];
const options = {
  url: `${url}/api/trpc`,
  ...(transformer === 'superjson' && { transformer: superjson }),
  headers: { cookie: 'app=1; multishot_session=secret' },
  fetch: (address, init) => (requests.push(new URL(address).pathname.replace('/api/trpc/', '')), fetch(address, init)),
};
const links = {
  httpLink: httpLink(options),
  httpBatchLink: httpBatchLink(options),
  httpBatchStreamLink: httpBatchStreamLink(options),
  'httpBatchLink by POST': httpBatchLink({ ...options, methodOverride: 'POST' }),
};

const shown = (value) => {
  if (value instanceof Date) return { date: value.toISOString() };
  if (value instanceof Map) return { map: [...value].map(shown) };
  if (typeof value === 'bigint') return { bigint: String(value) };
  if (Array.isArray(value)) return value.map(shown);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shown(one)]));
  return value;
};
const outcome = (promise) => promise.then(shown, (error) => ({ error: error.message, data: error.data && [error.data.code, error.data.httpStatus, error.data.path] }));

const report = {};
for (const [name, link] of Object.entries(links)) {
  const { video, posts, auth, agents } = createTRPCClient({ links: [link] });
  requests.length = 0;
  const queries = { posts: posts.list.query(), list: video.list.query({ limit: 1 }), fail: agents.fail.query(), me: auth.me.query(), missing: video.get.query({ videoId: 'no-such' }), now: agents.now.query() };
  const steps = (report[name] = {});
  for (const [step, promise] of Object.entries(queries)) queries[step] = outcome(promise);
  for (const step of Object.keys(queries)) steps[step] = await queries[step];
  const at = new Date('2026-05-06T07:08:09.010Z');
  const mutations = [posts.create.mutate({ text: 'hello', ...(transformer === 'superjson' && { at }) }), video.generate.mutate({ prompt: 'a fox' }), posts.create.mutate({ text: '' })].map(outcome);
  [steps.created, steps.generated, steps.invalid] = await Promise.all(mutations);
  steps.requests = [...requests];
}
console.log(JSON.stringify(report));
