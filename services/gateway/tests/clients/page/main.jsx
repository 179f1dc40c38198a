// A page of another origin, as the existing application is: batches with superjson and cookies, a socket that says nothing.
// `?gateway=` names the gateway.
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { httpBatchLink, httpSubscriptionLink, splitLink } from '@trpc/client';
import { createTRPCReact } from '@trpc/react-query';
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { io } from 'socket.io-client';
import superjson from 'superjson';

const gateway = new URLSearchParams(location.search).get('gateway');
const url = `${gateway}/api/trpc`;
const trpc = createTRPCReact();
const client = trpc.createClient({
  links: [
    splitLink({
      condition: (op) => op.type === 'subscription',
      true: httpSubscriptionLink({ url, transformer: superjson, eventSourceOptions: () => ({ withCredentials: true }) }),
      false: httpBatchLink({ url, transformer: superjson, fetch: (input, init) => fetch(input, { ...init, credentials: 'include' }) }),
    }),
  ],
});

const socket = io(gateway, { path: '/socket.io', transports: ['websocket', 'polling'], withCredentials: true });

function useSocket() {
  const [heard, setHeard] = useState([]);
  useEffect(() => {
    const hear = (name, told) => setHeard((before) => [...before, { name, ...told }]);
    socket.onAny(hear);
    return () => socket.offAny(hear);
  }, []);
  return heard;
}

const untilDone = { refetchInterval: ({ state }) => state.data?.status !== 'completed' && 200 };

function Video({ videoId, heard }) {
  const [events, setEvents] = useState([]);
  trpc.video.events.useSubscription({ videoId, lastSeq: 0 }, { onData: (event) => setEvents((before) => [...before, event]) });
  const video = trpc.video.get.useQuery({ videoId }, untilDone);
  const status = trpc.video.status.useQuery({ videoId }, untilDone);
  const isDate = video.data?.completedAt instanceof Date;
  return (
    <section>
      <h2>{video.data?.title}</h2>
      <p>
        <progress max="100" value={status.data?.progress ?? 0} /> <output id="status">{status.data?.status}</output>{' '}
        {isDate && <time id="completed">{video.data.completedAt.toISOString()}</time>}
      </p>
      <h3>By the socket</h3>
      <ol id="socket">{heard.map((told, n) => <li key={n}>{told.name} <small>{told.progress} %</small></li>)}</ol>
      <h3>By tRPC</h3>
      <ol id="events">{events.map(({ id, data }, n) => <li key={n}>{data.type} <small>{id}</small></li>)}</ol>
    </section>
  );
}

function App() {
  const [prompt, setPrompt] = useState('');
  const generate = trpc.video.generate.useMutation();
  const list = trpc.video.list.useQuery();
  const heard = useSocket();
  return (
    <main style={{ fontFamily: 'sans-serif', maxWidth: '40em', margin: '2em auto' }}>
      <form onSubmit={(event) => { event.preventDefault(); generate.mutate({ prompt }); }}>
        <input value={prompt} onChange={(event) => setPrompt(event.target.value)} placeholder="What about?" /> <button>Generate</button>
      </form>
      <p id="error">{generate.error?.data?.zodError?.fieldErrors.prompt?.[0]}</p>
      <p>Videos: <span id="total">{list.data?.total}</span></p>
      {generate.data?.success && <Video videoId={generate.data.videoId} heard={heard} />}
    </main>
  );
}

const queries = new QueryClient();
createRoot(document.getElementById('root')).render(
  <trpc.Provider client={client} queryClient={queries}>
    <QueryClientProvider client={queries}><App /></QueryClientProvider>
  </trpc.Provider>,
);
