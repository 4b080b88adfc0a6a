// How a page looks: to axe, in a narrow window, by day and by night, and in a picture if one is asked for.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** 320 CSS pixels is a 1280 window at 400 %: WCAG 2.2, 1.4.10. */
const WIDTHS = { wide: 1280, narrow: 320 };
const SCHEMES = ['light', 'dark'];

/** Look at what a page shows, in both schemes and widths. */
export async function look(person, name) {
  const { page, context } = person;
  // Elements are there before the style sheet is, and are measured without it until then.
  await page.waitForLoadState('load');
  const seen = { name, title: await page.title(), lang: await page.locator('html').getAttribute('lang'), views: [] };
  const protocol = await context.newCDPSession(page);
  await evaluate(protocol, AXE);
  for (const scheme of SCHEMES) {
    for (const [width, pixels] of Object.entries(WIDTHS)) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width: pixels, height: 800 });
      seen.views.push({ scheme, width, ...(await measured(protocol)), ...(await audited(protocol)) });
      await pictured(page, `${name}-${scheme}-${width}`);
    }
  }
  await protocol.detach();
  return seen;
}

async function measured(protocol) {
  return evaluate(
    protocol,
    `(() => {
      const root = document.documentElement;
      const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number);
      const beyond = [...document.querySelectorAll('body *')]
        .filter((element) => element.getBoundingClientRect().right > root.clientWidth + 0.5)
        .map((element) => element.id || element.localName);
      const small = [...document.querySelectorAll('button, input:not([type=hidden]), a[href]')]
        .filter((element) => element.getBoundingClientRect().height < 24)
        .map((element) => element.id || element.localName);
      return {
        scrolls_sideways: root.scrollWidth > root.clientWidth,
        beyond,
        small,
        paper_is_dark: 0.2126 * red + 0.7152 * green + 0.0722 * blue < 64,
      };
    })()`,
  );
}

async function audited(protocol) {
  const run = `axe.run(document, { resultTypes: ['violations', 'incomplete'] }).then(({ violations, incomplete, passes }) => {
    const brief = (rules) => rules.map(({ id, nodes }) => id + ': ' + nodes.map(({ target }) => target.join(' ')).join(', '));
    return { violations: brief(violations), undecided: brief(incomplete), passed: passes.length };
  })`;
  return evaluate(protocol, run);
}

/** By the debugger, so that the page's own policy need not allow what the test brings along. */
async function evaluate(protocol, expression) {
  const options = { expression, awaitPromise: true, returnByValue: true };
  const { result, exceptionDetails } = await protocol.send('Runtime.evaluate', options);
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

async function pictured(page, name) {
  const folder = process.env.RP_SCREENSHOTS;
  if (folder) await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });
}
