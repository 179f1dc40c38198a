// Runs `use` with a page of a real browser and prints, as JSON, what it saw: node <script> <chromium> <address> <folder>.
import { chromium } from 'playwright-core';

const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export async function browse(use, viewport) {
  const [, , executablePath, address, folder] = process.argv;
  const context = await chromium.launchPersistentContext(`${folder}/profile`, { executablePath, headless: true, viewport, args: ['--no-sandbox', ...quiet] });
  const seen = { complaints: [] };
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && seen.complaints.push(`${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => seen.complaints.push(String(error)));
  try {
    await page.goto(address);
    await use(page, seen);
  } catch (error) {
    seen.error = String(error);
  } finally {
    await page.screenshot({ path: `${folder}/page.png` });
    await context.close();
  }
  console.log(JSON.stringify(seen));
}
