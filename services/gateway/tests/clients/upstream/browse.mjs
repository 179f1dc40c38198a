// Uses the page of the application behind a gateway, whose address alone it knows; see browser.mjs.
import { browse } from '../browser.mjs';

await browse(async (page, seen) => {
  seen.title = await page.locator('h1').textContent();
  seen.heard = await page.evaluate(async () => {
    const heard = [];
    window.socket = io();
    const first = new Promise((done) => socket.onAny((name, told) => { heard.push([name, told.cookie ?? told.seq]); if (heard.length === 2) done(); }));
    await new Promise((done) => socket.on('connect', done));
    await socket.emitWithAck('subscribe_video_updates');
    const asked = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'a fox' }) };
    await fetch('/api/trpc/video.generate', asked);
    await first;
    return heard;
  });
  const names = 'auth.me,video.list';
  const [me, list] = await page.evaluate(async (names) => (await fetch(`/api/trpc/${names}?batch=1&input=${encodeURIComponent('{"0":{"json":null},"1":{"json":null}}')}`)).json(), names);
  seen.cookie = me.result.data.json.cookie;
  const film = list.result.data.json.videos.find(({ status }) => status === 'completed');
  await page.locator('a').evaluate((link, url) => Object.assign(link, { href: url, textContent: 'Download' }), film.videoUrl);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByText('Download').click()]);
  seen.download = [download.suggestedFilename(), film.videoId, await download.failure()];
});
