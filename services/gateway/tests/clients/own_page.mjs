// Uses the gateway's own page as a person with a telephone does; see browser.mjs.
import { browse } from './browser.mjs';

await browse(async (page, seen) => {
  const cards = page.locator('article');
  const ask = async (prompt, seconds) => {
    await page.getByLabel('Prompt').fill(prompt);
    await page.getByLabel('Seconds').fill(seconds);
    await page.getByRole('button', { name: 'Make the film' }).click();
  };
  await ask('a fox', '30');
  await cards.locator('video').waitFor();
  seen.film = await cards.locator('video').getAttribute('src');
  seen.completed = await cards.first().innerText();
  await ask('an owl', '20');
  await cards.nth(1).waitFor();
  seen.pending = await cards.first().innerText();
  seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await cards.first().getByRole('button', { name: 'Cancel' }).click();
  await cards.first().getByText('cancelled').waitFor();
  seen.cancelled = await cards.first().innerText();
  await page.locator('form#request').evaluate((form) => (form.noValidate = true));
  await page.getByLabel('Prompt').fill('');
  await page.getByRole('button', { name: 'Make the film' }).click();
  await page.getByRole('alert').filter({ hasText: 'prompt' }).waitFor();
  seen.fault = await page.getByRole('alert').textContent();
  // The browser says of each answer with an error that there was one; nobody has stored the film.
  seen.complaints = seen.complaints.filter((text) => !/status of 422|status of 404 .*\/media\/videos\//.test(text));
}, { width: 390, height: 800 });
