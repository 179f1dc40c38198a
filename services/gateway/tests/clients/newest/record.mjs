// Records what the real @trpc/server answers to fixed requests: node newest/record.mjs > golden.json
// The same procedures are in ../../test_golden.py. `requestId` is ours alone, so it is not there.
import { createHTTPHandler } from '@trpc/server/adapters/standalone';
import { initTRPC, TRPCError, tracked } from '@trpc/server';
import http from 'node:http';
import superjson from 'superjson';
import { z, ZodError } from 'zod';

function serve(transformer) {
  const t = initTRPC.create({
    ...(transformer && { transformer }),
    isDev: false,
    sse: { client: { reconnectAfterInactivityMs: 30000 } },
    errorFormatter({ shape, error }) {
      const { cause } = error;
      const flat = () => {
        const fieldErrors = {};
        for (const issue of cause.issues.filter((one) => one.path.length)) (fieldErrors[issue.path[0]] ??= []).push(issue.message);
        return { formErrors: cause.issues.filter((one) => !one.path.length).map((one) => one.message), fieldErrors };
      };
      const zodError = error.code === 'BAD_REQUEST' && cause instanceof ZodError ? flat() : null;
      return { ...shape, data: { ...shape.data, zodError } };
    },
  });
  const video = z.object({ videoId: z.string() });
  const page = z.object({ limit: z.number().int().min(1).max(100).default(20), offset: z.number().int().min(0).default(0) });
  const wish = z.object({
    prompt: z.string().min(1).max(20),
    sceneCount: z.number().int().min(1).max(5).default(3),
    tags: z.array(z.string()).max(2).optional(),
  });
  const router = t.router({
    echo: t.procedure.input(z.any()).query(({ input }) => input),
    nothing: t.procedure.query(() => undefined),
    empty: t.procedure.query(() => null),
    video: t.router({
      get: t.procedure.input(video).query(({ input: { videoId } }) => {
        if (videoId === 'gone') throw new TRPCError({ code: 'NOT_FOUND', message: 'Video gone not found' });
        if (videoId === 'ended') throw new TRPCError({ code: 'CONFLICT', message: 'Video ended has ended' });
        return { videoId, progress: 42.5, createdAt: new Date('2026-10-25T12:00:00.123Z'), completedAt: null };
      }),
      list: t.procedure.input(page.optional()).query(({ input }) => ({ ...(input ?? { limit: 20, offset: 0 }) })),
      generate: t.procedure.input(wish).mutation(({ input: { prompt, sceneCount } }) => ({ prompt, sceneCount })),
      events: t.procedure.input(z.object({ videoId: z.string(), lastEventId: z.string().optional() })).subscription(async function* ({ input }) {
        if (input.videoId === 'gone') throw new TRPCError({ code: 'NOT_FOUND', message: 'Video gone not found' });
        for (let seq = Number(input.lastEventId ?? 0) + 1; seq <= 3; seq++) {
          yield tracked(String(seq), { seq, at: new Date('2026-10-25T12:00:00.123Z') });
        }
      }),
    }),
  });
  const handler = createHTTPHandler({ router, basePath: '/api/trpc/', maxBatchSize: 20, maxBodySize: 1000, allowMethodOverride: true });
  return new Promise((done) => {
    const server = http.createServer(handler).listen(0, '127.0.0.1', () => done(server));
  });
}

const json = { 'content-type': 'application/json' };
const s = (value) => superjson.serialize(value);
const query = (name, input, more = '', headers = {}) =>
  ({ method: 'GET', path: `${name}?${more}${input === undefined ? '' : `input=${encodeURIComponent(JSON.stringify(input))}`}`, headers });
const batch = (names, ...inputs) => query(names, { ...inputs }, 'batch=1&');
const post = (path, body, headers = json) => ({ method: 'POST', path, headers, body: typeof body === 'string' ? body : JSON.stringify(body) });

const rich = { at: new Date(5), none: undefined, n: 12345678901234567890n, x: [NaN, -0, Infinity], 'a.b\\c': new Date(0), s: new Set([1, new Date(1)]), m: new Map([['k', new Date(2)], [new Date(3), null]]) };
const before = { json: { 'a.b': '1970-01-01T00:00:00.000Z' }, meta: { values: { 'a\\.b': ['Date'] } } };

const requests = {
  superjson: {
    'one call in a batch': batch('video.get', s({ videoId: 'v_1' })),
    'list without input': batch('video.list', s(undefined)),
    'three calls in a batch': batch('video.list,video.list,video.get', s({ limit: 5 }), s(undefined), s({ videoId: 'v_1' })),
    'a comma that is escaped': batch('video.list%2Cvideo.list', s(undefined), s({ offset: 3 })),
    'a single call': query('video.get', s({ videoId: 'v_1' })),
    'a mutation with something undefined': post('video.generate?batch=1', { 0: s({ prompt: 'hello', sceneCount: undefined }) }),
    'a single mutation': post('video.generate', s({ prompt: 'hello', more: 1 })),
    'a charset': post('video.generate', s({ prompt: 'hello' }), { 'content-type': 'application/json; charset=utf-8' }),
    'undefined is the answer': query('nothing', s(undefined)),
    'null is the answer': query('empty', s(undefined)),
    'all that superjson has': query('echo', s(rich)),
    'a client without v': query('echo', before),
    'text that is not ASCII': query('echo', s('Kopi pagi, 北京, 😀')),
    'a query by POST': post('video.list', s({ limit: 7 })),
    'a query by POST in a batch': post('video.list,video.get?batch=1', { 0: s(undefined), 1: s({ videoId: 'v_1' }) }),
    'one of two is missing': batch('video.get,video.get', s({ videoId: 'gone' }), s({ videoId: 'v_2' })),
    'both are missing': batch('video.get,video.get', s({ videoId: 'gone' }), s({ videoId: 'gone' })),
    'one is missing, one in conflict': batch('video.get,video.get', s({ videoId: 'gone' }), s({ videoId: 'ended' })),
    'no such procedure': query('video.destroy', s(undefined)),
    'no such procedure in a batch': batch('video.list,', s(undefined), s(undefined)),
    'a namespace': query('video', s(undefined)),
    'a name of JavaScript': query('__proto__', s(undefined)),
    'a mutation by GET': query('video.generate', s({ prompt: 'hello' })),
    'PUT': { method: 'PUT', path: 'video.generate', headers: json, body: JSON.stringify(s({ prompt: 'hello' })) },
    'text': post('video.generate', s({ prompt: 'hello' }), { 'content-type': 'text/plain' }),
    'no content type': post('video.generate', s({ prompt: 'hello' }), {}),
    'too many calls': batch(Array(21).fill('video.list').join(','), ...Array(21).fill(s(undefined))),
    'a query and a mutation': post('video.list,video.generate?batch=1', { 0: s(undefined), 1: s({ prompt: 'hello' }) }),
    'a subscription in a batch': batch('video.events', s({ videoId: 'v_1' })),
    'lines without a batch': query('video.list', s(undefined), '', { 'trpc-accept': 'application/jsonl' }),
    'HEAD': { method: 'HEAD', path: 'video.list', headers: {} },
    'too short': post('video.generate', s({ prompt: '' })),
    'many faults': post('video.generate', s({ prompt: 'x'.repeat(21), sceneCount: 6, tags: ['a', 'b', 'c'] })),
    'wrong types': post('video.generate', s({ prompt: 5, sceneCount: '3', tags: { a: 1 } })),
    'a fraction': post('video.generate', s({ prompt: 'hello', sceneCount: 2.5 })),
    'something missing': post('video.generate', s({})),
    'nothing at all': post('video.generate', s(undefined)),
    'too small': query('video.list', s({ limit: 0, offset: -1 })),
    'null for text': query('video.get', s({ videoId: null })),
    'a subscription': query('video.events', s({ videoId: 'v_1' }), '', { accept: 'text/event-stream' }),
    'a subscription that is resumed': query('video.events', s({ videoId: 'v_1' }), '', { accept: 'text/event-stream', 'last-event-id': '2' }),
    'a subscription to nothing': query('video.events', s({ videoId: 'gone' }), '', { accept: 'text/event-stream' }),
  },
  plain: {
    'one call in a batch': batch('video.get', { videoId: 'v_1' }),
    'list without input': batch('video.list'),
    'a single list without input': query('video.list'),
    'a list by POST without input': post('video.list', ''),
    'a mutation': post('video.generate', { prompt: 'hello' }),
    'a mutation in a batch': post('video.generate?batch=1', { 0: { prompt: 'hello' } }),
    'undefined is the answer': query('nothing'),
    'undefined is the answer in a batch': batch('nothing,empty'),
    'null is the answer': query('empty'),
    'one of two is missing': batch('video.get,video.get', { videoId: 'gone' }, { videoId: 'v_2' }),
    'too short': post('video.generate', { prompt: '' }),
    'no such procedure': query('video.destroy'),
    'a form': post('video.generate', 'prompt=hello', { 'content-type': 'application/x-www-form-urlencoded' }),
    'a batch that is a list': query('video.list', [], 'batch=1&'),
    'a subscription': query('video.events', { videoId: 'v_1' }, '', { accept: 'text/event-stream' }),
  },
};

const recorded = [];
for (const [transformer, named] of Object.entries(requests)) {
  const server = await serve(transformer === 'superjson' ? superjson : undefined);
  for (const [name, request] of Object.entries(named)) {
    const [status, contentType, text] = await new Promise((done, fail) => {
      const { method, headers, path } = request;
      const sent = http.request({ host: '127.0.0.1', port: server.address().port, path: `/api/trpc/${path}`, method, headers }, (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (part) => (body += part)).on('end', () => done([answer.statusCode, answer.headers['content-type'] ?? null, body]));
      });
      sent.on('error', fail).end(request.body);
    });
    recorded.push({ name: `${transformer}: ${name}`, ...request, status, contentType, text });
  }
  server.close();
}
console.log(JSON.stringify(recorded, null, 1));
