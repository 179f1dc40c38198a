// The whole application that a gateway stands in front of: Express, tRPC and Socket.IO on one port.
// node upstream/server.mjs <superjson|plain> [port]. Prints its port, and ends with its standard input.
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';
import { initTRPC, TRPCError } from '@trpc/server';
import { createExpressMiddleware } from '@trpc/server/adapters/express';
import express from 'express';
import { Server } from 'socket.io';
import superjson from 'superjson';
import { z } from 'zod';

const t = initTRPC.context().create(process.argv[2] === 'plain' ? {} : { transformer: superjson });
const procedure = t.procedure;
const router = t.router({
  posts: t.router({
    list: procedure.query(() => ({ posts: [{ id: 1, at: new Date('2026-01-02T03:04:05.678Z'), gone: undefined }], tags: new Map([['a', 1n]]) })),
    create: procedure.input(z.object({ text: z.string().min(1), at: z.date().optional() })).mutation(({ input }) => ({ ...input, id: 7 })),
  }),
  auth: t.router({
    me: procedure.query(({ ctx }) => ({ cookie: ctx.req.headers.cookie ?? null, authorization: ctx.req.headers.authorization ?? null, batch: ctx.req.query.batch ?? null })),
    login: procedure.mutation(({ ctx }) => {
      ctx.res.append('set-cookie', 'app=1; Path=/; HttpOnly');
      ctx.res.append('set-cookie', 'theme=dark');
      return 'welcome';
    }),
  }),
  agents: t.router({
    fail: procedure.query(() => { throw new TRPCError({ code: 'FORBIDDEN', message: 'Not for you' }); }),
    now: procedure.query(() => new Date('2026-01-02T03:04:05.678Z')),
  }),
});

const app = express();
const http = createServer(app);
const io = new Server(http);
app.use('/api/trpc', createExpressMiddleware({ router, allowMethodOverride: true, createContext: ({ req, res }) => ({ req, res }) }));
const page = '<!doctype html><link rel="icon" href="data:,"><h1>The application</h1><a></a><script src="/socket.io/socket.io.js"></script>';
app.get('/', (_req, res) => res.set('set-cookie', 'visit=1; HttpOnly').type('html').send(page));
app.all('/echo{/*rest}', express.raw({ type: () => true, limit: '20mb' }), (req, res) => {
  const body = Buffer.isBuffer(req.body) ? { length: req.body.length, sha256: createHash('sha256').update(req.body).digest('hex') } : null;
  res.set('x-powered-by', 'the application').set('connection', 'x-hop').set('x-hop', 'no').json({ method: req.method, url: req.originalUrl, headers: req.headers, raw: req.rawHeaders, body });
});
app.get('/cookies', (_req, res) => res.append('set-cookie', 'a=1; Path=/').append('set-cookie', 'b=2; HttpOnly').status(201).send('set'));
app.get('/moved', (req, res) => res.redirect(`http://${req.headers.host}/echo?x=1`));
app.get('/elsewhere', (_req, res) => res.redirect('https://elsewhere.example/x'));
app.get('/api/v1/mine', (_req, res) => res.send('never seen'));
app.get('/broken', (_req, res) => { res.set('content-length', '100').write('part'); setTimeout(() => res.destroy(), 20); });

// A stream whose second part is sent once `/go` is called; `/left` answers when its caller has left.
let go, left;
app.get('/stream', (_req, res) => { left = new Promise((done) => res.on('close', done)); res.write('first\n'); go = () => res.end('second\n'); });
app.post('/go', (_req, res) => { go(); res.end(); });
app.get('/left', async (_req, res) => { await left; res.send('left'); });
// How much of a body has come while it is still coming.
let came = 0;
app.post('/grow', (req, res) => { came = 0; req.on('data', (chunk) => (came += chunk.length)); req.on('end', () => res.send('whole')); });
app.get('/came', (_req, res) => res.json(came));

app.post('/emit', express.json(), (req, res) => { io.emit(req.body.name, ...req.body.values); res.end(); });
app.get('/sockets', (_req, res) => res.json(io.engine.clientsCount));
io.on('connection', (socket) => {
  const { cookie, authorization, origin } = socket.handshake.headers;
  socket.emit('status_update', { cookie, authorization, origin, auth: socket.handshake.auth, page: socket.handshake.query.page });
  socket.on('join', (room, answer) => { socket.join(room); answer('joined', { room }); });
  socket.on('ask me', async () => socket.emit('status_update', { told: await socket.emitWithAck('job_stopped', 'sure?') }));
  socket.on('shout', (...values) => io.to('loud').emit('post_created', ...values));
});

http.listen(Number(process.argv[3] ?? 0), '127.0.0.1', () => console.log(http.address().port));
process.stdin.on('end', () => process.exit()).resume();
