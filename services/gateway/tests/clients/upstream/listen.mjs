// Listens to the gateway and to the application behind it on one socket, as the application's page does, and speaks:
// node upstream/listen.mjs <url>. Prints what it heard, as JSON, once its video is there and `job_complete` came.
import { io } from 'socket.io-client';

const url = process.argv[2];
const headers = { cookie: 'app=1; multishot_session=secret; odd={"a":1}', authorization: 'Basic YTpi' };
const socket = io(url, { path: '/socket.io', transports: ['websocket', 'polling'], query: { page: 'studio' }, auth: { token: 'mine' }, extraHeaders: headers });
const heard = [];
const post = (path, body) => fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
socket.on('connect_error', (error) => {
  console.log(JSON.stringify({ error: error.message }));
  process.exit();
});
socket.onAny((name, ...values) => {
  heard.push([name, ...values.map((value) => (Buffer.isBuffer(value) ? { bytes: value.toString('hex') } : name.startsWith('video_') ? value.seq : value))]);
  if (name === 'job_complete') {
    console.log(JSON.stringify({ heard, joined }));
    socket.close();
  }
});
let joined;
socket.on('connect', async () => {
  joined = await new Promise((done) => socket.emit('join', 'loud', (...values) => done(values)));
  await socket.emitWithAck('subscribe_video_updates');
  await new Promise((done) => {
    socket.once('post_created', done);
    socket.emit('shout', { id: 7 }, Buffer.from('cafe', 'hex'));
  });
  const started = new Promise((done) => socket.once('video_generation_started', done));
  await post('/api/trpc/video.generate', { prompt: 'a fox' });
  await started;
  await post('/emit', { name: 'video_completed', values: [{ seq: 'forged' }] });
  for (const name of ['job_stopped', 'error']) await post('/emit', { name, values: [name, 2] });
  await post('/emit', { name: 'job_complete', values: [] });
});
