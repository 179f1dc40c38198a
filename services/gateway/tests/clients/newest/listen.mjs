// Listens as the existing application does, which says nothing: node newest/listen.mjs <url>. Prints what it heard.
import { io } from 'socket.io-client';

const url = process.argv[2];
const socket = io(url, { path: '/socket.io', transports: ['websocket', 'polling'] });
const heard = [];
socket.on('connect_error', (error) => {
  console.log(JSON.stringify({ error: error.message }));
  process.exit();
});
socket.onAny((name, told) => {
  heard.push([name, told.seq, told.progress]);
  if (name !== 'video_completed') return;
  console.log(JSON.stringify({ transport: socket.io.engine.transport.name, heard }));
  socket.close();
});
socket.on('connect', () => {
  fetch(`${url}/api/trpc/video.generate`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'a fox' }),
  });
});
