// A program with a client that is generated from the API's document: node client.js <url>. Prints what it saw, as JSON.
import createClient from 'openapi-fetch';
import type { components, paths, webhooks } from './schema';

declare const process: { argv: string[] };
const api = createClient<paths>({ baseUrl: process.argv[2] });

const made = await api.POST('/api/v1/videos', { body: { prompt: 'a fox', sceneCount: 2, aspectRatio: '9:16' } });
if (!made.data) throw new Error(made.error.title);
const path = { video_id: made.data.videoId };
const shown = await api.GET('/api/v1/videos/{video_id}', { params: { path } });
const list = await api.GET('/api/v1/videos', { params: { query: { limit: 1, status: 'pending' } } });
const cancelled = await api.POST('/api/v1/videos/{video_id}/cancel', { params: { path } });
const missing = await api.GET('/api/v1/videos/{video_id}', { params: { path: { video_id: '00000000-0000-0000-0000-000000000009' } } });
const problem: components['schemas']['Problem'] | undefined = missing.error;
const wrong = await api.POST('/api/v1/videos', { body: { prompt: 'x'.repeat(4001) } });
const fields: string[] | undefined = wrong.error?.errors?.map(({ field }) => field);

type Completed = webhooks['video.completed']['post']['requestBody']['content']['application/json'];
const link = (told: Completed): unknown => told.data.videoUrl;

// What a caller may do wrong is seen before anything runs.
export const mistakes = async () => {
  // @ts-expect-error the prompt is needed
  await api.POST('/api/v1/videos', { body: { sceneCount: 2 } });
  // @ts-expect-error there is no such shape
  await api.POST('/api/v1/videos', { body: { prompt: 'a fox', aspectRatio: '4:3' } });
  // @ts-expect-error there is no such path
  await api.GET('/api/v1/films');
  // @ts-expect-error the id is needed
  await api.GET('/api/v1/videos/{video_id}', {});
  // @ts-expect-error a list of videos has no such member
  list.data?.films;
  // @ts-expect-error a webhook tells of something
  link({ type: 'video.completed', timestamp: '' });
};

console.log(JSON.stringify({
  made: [made.response.status, made.data.status],
  shown: shown.data?.prompt,
  list: [list.data?.total, list.data?.videos[0]?.videoId === path.video_id],
  cancelled: [cancelled.response.status, cancelled.data?.status],
  missing: [problem?.status, problem?.type],
  fields,
}));
