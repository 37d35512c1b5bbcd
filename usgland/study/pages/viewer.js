// The image: larger, smaller, moved, with more contrast. Its frame never changes.

import { byId } from "./dom.js";

const MOST = 12; // times as large as it fits
const STEP = 1.25;
const MOVE = 60; // pixels an arrow key moves
const view = { scale: 1, x: 0, y: 0 };
const pointers = new Map();
let address = "";

/** Shows an image once it can be drawn whole. */
export async function showImage(blob) {
  const next = URL.createObjectURL(blob);
  const picture = byId("picture");
  picture.src = next;
  try {
    await picture.decode();
  } finally {
    if (address) URL.revokeObjectURL(address);
    address = next;
  }
  fit();
  byId("loading").hidden = true;
  picture.hidden = false;
}

/** An empty frame, until the next image is here. */
export function clearImage() {
  byId("picture").hidden = true;
  byId("loading").hidden = false;
}

function fit() {
  Object.assign(view, { scale: 1, x: 0, y: 0 });
  draw();
}

function draw() {
  const stage = byId("stage");
  const [sideways, down] = [stage.clientWidth, stage.clientHeight].map((size) => (size * (view.scale - 1)) / 2);
  view.x = Math.max(-sideways, Math.min(sideways, view.x));
  view.y = Math.max(-down, Math.min(down, view.y));
  const style = byId("picture").style;
  style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  style.filter = `contrast(${byId("contrast").value}%) brightness(${byId("brightness").value}%)`;
  byId("zoom").textContent = `${Math.round(100 * view.scale)}%`;
}

/** Zooms about a point of the frame, so that what lies there stays there. */
function zoom(factor, clientX = null, clientY = null) {
  const box = byId("stage").getBoundingClientRect();
  const x = clientX === null ? 0 : clientX - box.left - box.width / 2;
  const y = clientY === null ? 0 : clientY - box.top - box.height / 2;
  const scale = Math.max(1, Math.min(MOST, view.scale * factor));
  const change = scale / view.scale;
  Object.assign(view, { scale, x: x + (view.x - x) * change, y: y + (view.y - y) * change });
  draw();
}

function move(x, y) {
  view.x += x;
  view.y += y;
  draw();
}

function reset() {
  byId("contrast").value = 100;
  byId("brightness").value = 100;
  fit();
}

function turn(name, step) {
  byId(name).value = Number(byId(name).value) + step;
  draw();
}

const KEYS = {
  "+": () => zoom(STEP),
  "=": () => zoom(STEP),
  "-": () => zoom(1 / STEP),
  ArrowLeft: () => move(MOVE, 0),
  ArrowRight: () => move(-MOVE, 0),
  ArrowUp: () => move(0, MOVE),
  ArrowDown: () => move(0, -MOVE),
  c: () => turn("contrast", 10),
  v: () => turn("contrast", -10),
  r: reset,
};

/** Whether a key was one of the view's. */
export function viewKey(key) {
  const act = KEYS[key] ?? KEYS[key.toLowerCase()];
  act?.();
  return act !== undefined;
}

function distance() {
  const [a, b] = [...pointers.values()];
  return Math.hypot(a.x - b.x, a.y - b.y);
}

function moved(event) {
  const last = pointers.get(event.pointerId);
  if (!last) return;
  const before = pointers.size === 2 ? distance() : 0;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pointers.size === 2) {
    const [a, b] = [...pointers.values()];
    zoom(distance() / Math.max(before, 1), (a.x + b.x) / 2, (a.y + b.y) / 2);
  } else {
    move(event.clientX - last.x, event.clientY - last.y);
  }
}

export function openViewer() {
  const stage = byId("stage");
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? STEP : 1 / STEP, event.clientX, event.clientY);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  stage.addEventListener("pointermove", moved);
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  byId("larger").addEventListener("click", () => zoom(STEP));
  byId("smaller").addEventListener("click", () => zoom(1 / STEP));
  byId("reset").addEventListener("click", reset);
  for (const name of ["contrast", "brightness"]) byId(name).addEventListener("input", draw);
  new ResizeObserver(draw).observe(stage);
}
