// How long a case is seen: from when its image stands there, while the page is visible.

import { mention } from "./sending.js";

const TELL = 20_000; // milliseconds between two messages, in case the page is killed
let view = "";
let spent = 0; // milliseconds
let since = null;

const ticks = () => document.visibilityState === "visible";

export function startSeconds(name) {
  view = name;
  spent = 0;
  since = ticks() ? performance.now() : null;
}

/** Seconds so far. */
export function seconds() {
  const running = since === null ? 0 : performance.now() - since;
  return Math.round(spent + running) / 1000;
}

/** What the server is told of the case that is shown, or null. */
export const spentOn = () => (view ? { view, seconds: seconds() } : null);

export function stopSeconds() {
  view = "";
  since = null;
}

function tellSeconds() {
  if (view) mention("time", spentOn());
}

/** Tells at once: a page that is hidden may never come back. */
export function watchSeconds() {
  document.addEventListener("visibilitychange", () => {
    if (!view) return;
    if (ticks()) {
      since = performance.now();
      return;
    }
    spent = 1000 * seconds();
    since = null;
    tellSeconds();
  });
  window.addEventListener("pagehide", tellSeconds);
  setInterval(() => ticks() && tellSeconds(), TELL);
}
