// People at a real browser: Debian's Chromium, driven by Playwright. `browser.mjs SCENE [ARGUMENT]` plays one scene
// of browser/scenes.mjs and prints one line of JSON saying what was seen.
//
// RP_ISSUER RP_CA RP_USER RP_PASSWORD RP_CLIENT_ID, RP_ENROL_URL for the scene that needs it; RP_SCREENSHOTS names
// a folder for pictures.

import * as scenes from './browser/scenes.mjs';
import { Stage } from './browser/stage.mjs';

const [name, ...rest] = process.argv.slice(2);
const scene = scenes[name];
if (!scene) throw new Error(`no scene ${name}; there are ${Object.keys(scenes).join(', ')}`);

const stage = await Stage.open();
try {
  process.stdout.write(`${JSON.stringify(await scene(stage, ...rest))}\n`);
} catch (error) {
  process.stderr.write(`${await stage.confession()}\n`);
  throw error;
} finally {
  await stage.close();
}
