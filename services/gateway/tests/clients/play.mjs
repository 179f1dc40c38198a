// Seeks in films and plays them to their ends, all at once; see browser.mjs. The last argument lists their sources and
// the places to seek to, in seconds.
import { browse } from './browser.mjs';

const [, , , , , films] = process.argv;

await browse(async (page, seen) => {
  seen.films = await page.evaluate((list) => Promise.all(list.map(async ({ source, seeks }) => {
    const video = document.body.appendChild(document.createElement('video'));
    const next = (name) => new Promise((resolve, reject) => {
      video.addEventListener(name, resolve, { once: true });
      video.addEventListener('error', () => reject(new Error(video.error.message)), { once: true });
    });
    const missed = [];
    try {
      Object.assign(video, { muted: true, src: source, preload: 'auto' });
      await next('canplaythrough');
      for (const place of [...seeks, video.duration - 0.001, 0]) {
        const sought = next('seeked');
        video.currentTime = place;
        await sought;
        if (video.readyState < 2 || Math.abs(video.currentTime - place) > 0.01) missed.push(place);
      }
      const ended = next('ended');
      video.playbackRate = 2;
      await video.play();
      await ended;
      const { duration, currentTime, ended: hasEnded } = video;
      return { duration, currentTime, ended: hasEnded, missed, fault: null };
    } catch (error) {
      return { ended: false, missed, fault: String(error) };
    }
  })), JSON.parse(films));
});
