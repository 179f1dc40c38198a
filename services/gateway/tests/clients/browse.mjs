// Uses the application's page as a person does; see browser.mjs.
import { browse } from './browser.mjs';

await browse(async (page, seen) => {
  await page.getByText('Videos: 0').waitFor();
  await page.getByRole('button', { name: 'Generate' }).click();
  await page.locator('#error:not(:empty)').waitFor();
  seen.fault = await page.locator('#error').textContent();
  // The browser says of each answer with an error that there was one.
  seen.complaints = seen.complaints.filter((text) => !text.includes('status of 400'));
  await page.getByPlaceholder('What about?').fill('a fox');
  await page.getByRole('button', { name: 'Generate' }).click();
  await page.locator('#completed').waitFor();
  await page.locator('#status', { hasText: 'completed' }).waitFor();
  await page.locator('#socket li', { hasText: 'video_completed' }).waitFor();
  await page.locator('#events li', { hasText: 'video_completed' }).waitFor();
  seen.status = await page.locator('#status').textContent();
  seen.completed = await page.locator('#completed').textContent();
  seen.socket = await page.locator('#socket li').allTextContents();
  seen.events = await page.locator('#events li').allTextContents();
});
