// What the application's code may do with the types of the gateway, and what they keep it from.
import { createTRPCClient, httpBatchLink, httpSubscriptionLink, splitLink, TRPCClientError } from '@trpc/client';
import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server';
import superjson from 'superjson';
import type { AppRouter, ClientToServerEvents, ServerToClientEvents, VideoEvent } from './app-router';

const url = '/api/trpc';
const trpc = createTRPCClient<AppRouter>({
  links: [
    splitLink({
      condition: (op) => op.type === 'subscription',
      true: httpSubscriptionLink({ url, transformer: superjson }),
      false: httpBatchLink({ url, transformer: superjson }),
    }),
  ],
});

type Inputs = inferRouterInputs<AppRouter>;
type Outputs = inferRouterOutputs<AppRouter>;

const wish: Inputs['video']['generate'] = { prompt: 'a fox', totalDuration: 30 };
const asked: Outputs['video']['generate'] = await trpc.video.generate.mutate(wish);
const done: true = asked.success;
const made: Date = (await trpc.video.get.query({ videoId: asked.videoId })).createdAt;
const ended: Date | null = (await trpc.video.list.query()).videos[0]!.completedAt;
const page: number = (await trpc.video.list.query({ limit: 5 })).total;
const link: string | undefined = (await trpc.video.status.query({ videoId: asked.videoId })).videoUrl;
const message: string = (await trpc.video.cancel.mutate({ videoId: asked.videoId })).message;

trpc.video.events.subscribe(
  { videoId: asked.videoId, lastSeq: 0 },
  {
    onData({ id, data }) {
      const seq: string = id;
      const event: VideoEvent = data;
      if (event.type === 'video_failed') console.log(seq, event.data.error, event.data.stage);
      // @ts-expect-error: only a completed video has a link
      if (event.type === 'video_failed') console.log(event.data.videoUrl);
    },
  },
);

try {
  await trpc.video.generate.mutate({ prompt: '' });
} catch (error) {
  if (error instanceof TRPCClientError) {
    const known = error as TRPCClientError<AppRouter>;
    const faults: string[] | undefined = known.data?.zodError?.fieldErrors['prompt'];
    const requestId: string | undefined = known.data?.requestId;
    console.log(faults, requestId);
  }
}

interface Socket {
  on<Name extends keyof ServerToClientEvents>(name: Name, hear: ServerToClientEvents[Name]): void;
  emit<Name extends keyof ClientToServerEvents>(name: Name, ...said: Parameters<ClientToServerEvents[Name]>): void;
}
declare const socket: Socket;
socket.on('video_scene_completed', (told) => console.log(told.sceneVideoUrl, told.seq, told.progress));
socket.emit('subscribe_video_updates', { videoId: asked.videoId, lastSeq: 3 }, (answer) => console.log(answer.ok));
socket.emit('subscribe_video_updates');

// @ts-expect-error: a prompt is needed
await trpc.video.generate.mutate({ niche: 'food' });
// @ts-expect-error: a number of scenes is a number
await trpc.video.generate.mutate({ prompt: 'a fox', sceneCount: '3' });
// @ts-expect-error: a query is no mutation
await trpc.video.status.mutate({ videoId: asked.videoId });
// @ts-expect-error: there is no such procedure
await trpc.video.destroy.mutate({ videoId: asked.videoId });
// @ts-expect-error: a date is no text
const text: string = (await trpc.video.get.query({ videoId: asked.videoId })).createdAt;
// @ts-expect-error: without superjson dates would not be dates
httpBatchLink<AppRouter>({ url });
// @ts-expect-error: there is no such event
socket.on('video_exploded', () => undefined);
// @ts-expect-error: an id is text
socket.emit('subscribe_video_updates', { videoId: 5 });

console.log(done, made, ended, page, link, message, text);
