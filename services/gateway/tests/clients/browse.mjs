// Uses the page as a person does: node browse.mjs <chromium> <address> <folder>. Prints what was seen, as JSON.
import { chromium } from 'playwright-core';

const [, , executablePath, address, folder] = process.argv;
const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const context = await chromium.launchPersistentContext(`${folder}/profile`, { executablePath, headless: true, args: ['--no-sandbox', ...quiet] });
const seen = { complaints: [] };
try {
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && seen.complaints.push(message.text()));
  page.on('pageerror', (error) => seen.complaints.push(String(error)));
  await page.goto(address);
  await page.getByText('Videos: 0').waitFor();
  await page.getByRole('button', { name: 'Generate' }).click();
  await page.locator('#error:not(:empty)').waitFor();
  seen.fault = await page.locator('#error').textContent();
  // The browser says of each answer with an error that there was one.
  seen.complaints = seen.complaints.filter((text) => !text.includes('400'));
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
  await page.screenshot({ path: `${folder}/page.png` });
} catch (error) {
  seen.error = String(error);
  await context.pages().at(-1)?.screenshot({ path: `${folder}/page.png` });
} finally {
  await context.close();
}
console.log(JSON.stringify(seen));
