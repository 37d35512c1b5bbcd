// The reader's way: key, session, one case after another, break, end.

import { answerKey, draft, openAnswer, say, watchAnswer, wholeAnswer } from "./answer.js";
import { byId, element, pairList, percent } from "./dom.js";
import { seconds, spentOn, startSeconds, stopSeconds, watchSeconds } from "./seconds.js";
import { ask, isSeated, Refusal, sit, tell, tryOnce } from "./sending.js";
import { clearImage, openViewer, showImage, viewKey } from "./viewer.js";

const IMAGE_MILLISECONDS = 180_000; // a slow line may take so long
let shown = null; // the case on the screen
let kept = null; // what was chosen of a case when its window lost the seat
let busy = false;

function only(id) {
  for (const part of ["enter", "between", "reading"]) byId(part).hidden = part !== id;
}

function askForKey(text = "") {
  stopSeconds();
  sit("");
  shown = null;
  only("enter");
  byId("enter-error").textContent = text;
  byId("key").value = "";
  byId("key").focus();
}

/** Runs what may be refused; a lost seat leads back to the key. */
async function guarded(work) {
  if (busy) return;
  busy = true;
  byId("said").setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!isSeated()) return;
    const elsewhere = error.message.includes("Your key was entered");
    if (error.status === 401 || elsewhere) {
      if (shown) kept = { session: shown.session, position: shown.position, ...draft() };
      askForKey(error.message);
    } else {
      await goOn(error.message).catch((again) => tell(again.message));
    }
  } finally {
    busy = false;
    byId("said").removeAttribute("aria-busy");
  }
}

/** Shows what comes next for the reader, with a sentence about what went before. */
async function goOn(text = "") {
  await open(await ask("place"), text);
}

async function open(place, text = "") {
  if (place.state === "reading") await openCase(null, text);
  else between(place, text);
}

const shownBeside = ({ form, model }) => {
  if (form && model) return "the image, the clinical form and the answer of a model";
  if (form) return "the image and the clinical form";
  return model ? "the image and the answer of a model" : "the image alone";
};

function between(place, text) {
  stopSeconds();
  shown = null;
  clearImage();
  only("between");
  const said = { ready, waiting, done, clock, checking }[place.state](place);
  byId("between-title").textContent = said.title;
  byId("between-text").replaceChildren(
    ...[text, ...said.lines].filter(Boolean).map((line) => (typeof line === "string" ? element("p", {}, line) : line)));
  byId("between-buttons").replaceChildren(...said.buttons);
  (said.buttons[0] ?? byId("between-title")).focus();
}

function button(text, work, kind = "") {
  const made = element("button", { type: "button", class: kind }, text);
  made.addEventListener("click", () => guarded(work));
  return made;
}

function ready(place) {
  const { session, sessions, cases } = place;
  return {
    title: `Session ${session} of ${sessions}`,
    lines: [
      place.synthetic ? "SYNTHETIC: the images are computed phantoms, not patients." : "",
      `${cases} cases. You see ${shownBeside(place)}. Say of each whether you call it benign or malignant, and how sure you are.`,
      place.way_back ? "You may go back and change a call until you end the session." : "A call that is stored is final: there is no way back to it.",
      "Stop whenever you like: what is stored stays, and you go on at the next case. Your time with each case is measured while this page is seen.",
      pairList([
        ["B, M", "benign, malignant"],
        ["0 to 100", "type how sure you are"],
        ["Enter", "store, next case"],
        ["+, \u2212, arrows", "zoom and move the image"],
        ["C, V, R", "more or less contrast, as it was"],
      ]),
    ],
    buttons: [button("Begin", async () => open(await ask("begin", { session })), "primary")],
  };
}

function waiting({ session, opens, washout_days: days }) {
  const when = new Date(opens).toLocaleString(undefined, { dateStyle: "full", timeStyle: "short" });
  return {
    title: "All cases of this session are stored",
    lines: [`Session ${session} begins ${days} days after the last one: from ${when} on. Come back then with the same key.`],
    buttons: [],
  };
}

const done = () => ({
  title: "You have read all cases",
  lines: ["Everything is stored. Thank you. You may close this window."],
  buttons: [],
});

const clock = () => ({
  title: "The clock of the server is wrong",
  lines: ["It stands before the last answer, so that no session can begin. Tell who leads the study; nothing is lost."],
  buttons: [button("Look again", () => goOn())],
});

function checking({ cases, session }) {
  return {
    title: `All ${cases} cases of session ${session} are stored`,
    lines: ["Look at calls again, or end the session. After that nothing can be changed."],
    buttons: [
      button("End the session", async () => open(await ask("end")), "primary"),
      button("Back to the last case", () => openCase(cases)),
    ],
  };
}

async function openCase(position, text = "") {
  stopSeconds();
  only("reading");
  // Nobody answers a case whose image is not there.
  byId("said").inert = true;
  byId("scrolled").classList.add("early");
  clearImage();
  const next = await ask("case", position === null ? {} : { position });
  if (!next.view) {
    between(next, text);
    return;
  }
  shown = next;
  tellCase(next);
  const same = kept && kept.session === next.session && kept.position === next.position;
  openAnswer(next.asked, same ? kept : next.earlier);
  kept = null;
  say(text);
  let blob = await ask("image", { view: next.view }, IMAGE_MILLISECONDS);
  for (let left = 2; ; left -= 1) {
    try {
      await showImage(blob);
      break;
    } catch (error) {
      if (left === 0) throw new Refusal("The image cannot be drawn by this browser. Tell who leads the study.", 500);
      blob = await ask("image", { view: next.view }, IMAGE_MILLISECONDS);
    }
  }
  byId("said").inert = false;
  byId("scrolled").classList.remove("early");
  byId("scrolled").focus({ preventScroll: true }); // Tab leads to the answer from here.
  startSeconds(next.view);
}

function tellCase(next) {
  byId("case").textContent = `Case ${next.position} of ${next.cases}`;
  byId("session").textContent = `Session ${next.session} of ${next.sessions}`;
  byId("progress").max = next.cases;
  byId("progress").value = next.position - 1;
  byId("synthetic").hidden = !next.synthetic;
  byId("form").hidden = !next.values;
  byId("values").replaceChildren(...(next.values ? [pairList(next.values)] : []));
  byId("model").hidden = !next.answer;
  if (next.answer) {
    const { call, probability } = next.answer;
    byId("model-text").replaceChildren(call, element("span", {}, `P(malignant) ${percent(probability)}`));
  }
  byId("ways").hidden = !next.way_back;
  byId("back").classList.toggle("absent", next.position === 1); // Its place stays.
  byId("forward").classList.toggle("absent", !next.earlier);
  byId("scrolled").scrollTop = 0;
}

async function store() {
  const said = wholeAnswer();
  if (said === null || !shown) return;
  const { view, position, cases, way_back: wayBack } = shown;
  byId("said").inert = true; // What is sent again must be the same.
  try {
    const place = await ask("answer", { view, seconds: seconds(), ...said });
    const next = wayBack && position < cases && position + 1 < place.position ? position + 1 : null;
    if (next === null) await open(place);
    else await openCase(next);
  } catch (error) {
    byId("said").inert = false;
    if (!(error instanceof Refusal) || error.status !== 400) throw error;
    say(error.message);
  }
}

async function takeBreak() {
  const read = shown ? shown.position - 1 : 0;
  const spent = spentOn();
  stopSeconds();
  try { // A server that is away is no reason to stay.
    if (spent) await tryOnce("time", spent);
    await tryOnce("leave", {});
  } catch {
    tell("");
  }
  askForKey();
  byId("key-note").textContent = `${read} cases of this session are stored. Close this window, or enter your key to go on.`;
}

async function enter(event) {
  event.preventDefault();
  const key = byId("key").value.trim();
  if (!key || busy) return;
  busy = true;
  byId("enter-error").textContent = "";
  try {
    const place = await tryOnce("enter", { key });
    sit(place.seat);
    byId("key").value = "";
    tell("");
    busy = false;
    await guarded(() => open(place));
  } catch (error) {
    byId("enter-error").textContent = error instanceof Refusal ? error.message : "The server does not answer. Try again.";
  } finally {
    busy = false;
  }
}

function pressed(event) {
  const inField = event.target.matches("select, input[type=text], input[type=range]");
  if (byId("reading").hidden || byId("said").inert || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter") {
    if (event.target.matches("button")) return;
    event.preventDefault();
    guarded(store);
  } else if (event.target.matches("input[type=text], select")) {
    return; // The keys are the field's own.
  } else if (["PageUp", "PageDown"].includes(event.key)) {
    byId("scrolled").scrollBy(0, (event.key === "PageUp" ? -0.8 : 0.8) * byId("scrolled").clientHeight);
    event.preventDefault();
  } else if (answerKey(event.key)) {
    event.preventDefault();
  } else if (!inField && !(event.target.matches("input[type=radio]") && event.key.startsWith("Arrow")) && viewKey(event.key)) {
    event.preventDefault();
  }
}

openViewer();
watchAnswer();
watchSeconds();
byId("enter").addEventListener("submit", enter);
byId("said").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(store);
});
byId("back").addEventListener("click", () => guarded(() => openCase(shown.position - 1)));
byId("forward").addEventListener("click", () => guarded(() => openCase(shown.position + 1)));
byId("break").addEventListener("click", () => guarded(takeBreak));
document.addEventListener("keydown", pressed);
askForKey();
