// Watches a stream with hls.js on a page of another origin; see browser.mjs. The file `watched-N` appears once the N-th
// of the scenes, whose lengths in seconds are the last argument, is playing.
import { writeFileSync } from 'node:fs';
import { browse } from './browser.mjs';

const [, , , , folder, source, lengths] = process.argv;

await browse(async (page, seen) => {
  await page.exposeFunction('watched', (number) => writeFileSync(`${folder}/watched-${number}`, ''));
  Object.assign(seen, await page.evaluate(async ({ source, lengths }) => {
    const video = document.querySelector('video');
    const faults = [];
    let number = 1;
    let begin = 0;
    video.addEventListener('timeupdate', () => {
      while (number <= lengths.length && video.currentTime > begin) {
        window.watched(number);
        begin += lengths[number - 1];
        number += 1;
      }
    });
    const hls = new Hls();
    const ended = new Promise((resolve, reject) => {
      video.addEventListener('ended', resolve);
      hls.on(Hls.Events.ERROR, (_, { details, fatal, reason, error }) => {
        faults.push(details);
        if (fatal) reject(new Error(`${details}: ${reason ?? error}`));
      });
    });
    hls.loadSource(source);
    hls.attachMedia(video);
    await Promise.all([video.play(), ended]);
    const { buffered, duration, currentTime } = video;
    const ranges = Array.from(buffered, (_, n) => [buffered.start(n), buffered.end(n)]);
    return { duration, currentTime, ranges, faults, frames: video.getVideoPlaybackQuality().totalVideoFrames };
  }, { source, lengths: JSON.parse(lengths) }));
});
