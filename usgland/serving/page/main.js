// Joins the parts. One state; what is shown follows from it.

import { aboutModel } from "./about.js";
import { contractOf, IMAGE } from "./contract.js";
import { byId, element } from "./dom.js";
import { buildForm, clearForm, firstInvalid, textsOf, valuesOf } from "./form.js";
import { draw, readPicture } from "./picture.js";
import { Gone, listModels, PageError, predict, signaturesOf, TokenNeeded, useToken } from "./rest.js";
import { resultOf, sentenceOf } from "./result.js";

const NOTHING = "No case has been read yet.";

const state = {
  models: [],
  mostBytes: Infinity,
  model: null, // an entry of `models`
  contract: null, // what it can be asked; null while it is not known
  picture: null,
  shown: null, // key of the case whose result is on the page
  said: NOTHING, // of that result, in one sentence
  running: null, // AbortController of the case that is being asked
  reading: 0, // number of the last file that was dropped
};

/** Tells one case from another: a result belongs to the one key it was asked with. */
function caseKey() {
  const texts = state.contract ? textsOf(state.contract.columns) : null;
  return JSON.stringify([state.model?.name, state.model?.version, state.picture?.id ?? null, texts]);
}

/** Marks a result whose inputs are no longer those of the form. */
function markStale() {
  const stale = state.shown !== null && state.shown !== caseKey();
  byId("result").classList.toggle("stale", stale);
  const note = "Out of date: the case has changed since. This result belongs to the inputs listed with it.";
  const text = stale ? note : "";
  if (byId("stale").textContent !== text) byId("stale").textContent = text;
}

function notify(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = text === "";
}

// The models

async function start() {
  notify("");
  try {
    const { models, max_body_bytes: mostBytes } = await listModels();
    state.mostBytes = mostBytes;
    state.models = models;
    byId("token-form").hidden = true;
    if (models.length === 0) throw new PageError("No model is served now. Load this page again when one is.");
  } catch (error) {
    return fail(error);
  }
  const same = state.models.find(({ name, version }) => name === state.model?.name && version === state.model?.version);
  byId("model").replaceChildren(
    ...state.models.map(({ name, version }, number) => element("option", { value: number }, `${name}, version ${version}`)),
  );
  const newer = state.models.find(({ name }) => name === state.model?.name);
  await choose(same ?? newer ?? state.models[0]);
}

async function choose(model) {
  state.running?.abort();
  state.model = model;
  state.contract = null;
  byId("model").value = String(state.models.indexOf(model));
  byId("chooser").hidden = false;
  byId("synthetic").hidden = !model.sheet?.trained_on.synthetic;
  byId("about-text").replaceChildren(...aboutModel(model));
  notify("");
  try {
    const contract = contractOf(model, await signaturesOf(model));
    if (state.model !== model) return; // Another one was chosen meanwhile.
    state.contract = contract;
  } catch (error) {
    if (state.model === model) fail(error);
    return;
  } finally {
    byId("main").hidden = state.contract === null && state.shown === null;
    byId("case").hidden = state.contract === null;
  }
  buildForm(state.contract.columns, markStale);
  byId("picture-card").hidden = !state.contract.image;
  byId("form-card").hidden = state.contract.columns.length === 0;
  if (!state.contract.image) setPicture(null);
  markStale();
}

function fail(error) {
  if (!(error instanceof PageError)) throw error;
  notify(error.message);
  if (error instanceof TokenNeeded) {
    byId("token-form").hidden = false;
    byId("token").focus();
  }
}

// The image

function setPicture(picture) {
  state.picture = picture;
  byId("file").value = "";
  byId("thumbnail").hidden = picture === null;
  byId("remove").hidden = picture === null;
  byId("picture-error").textContent = "";
  byId("drop-title").textContent = picture ? picture.name : "Choose an image, or drop it here";
  byId("drop-note").textContent = picture
    ? `${picture.width} × ${picture.height} pixels. Choose or drop another one to replace it.`
    : "PNG, JPEG or BMP, up to 16 megapixels";
  if (picture) draw(byId("thumbnail"), picture.image, 320);
  markStale();
}

async function takeFiles(files) {
  if (state.contract?.image === false || files.length === 0) return;
  state.reading += 1;
  const reading = state.reading;
  setPicture(null); // What cannot be read must not leave the last image in its place.
  try {
    if (files.length > 1) throw new PageError(`Expected one image. Received ${files.length} files.`);
    const picture = await readPicture(files[0], state.mostBytes);
    if (reading === state.reading) setPicture(picture);
  } catch (error) {
    if (!(error instanceof PageError)) throw error;
    if (reading === state.reading) byId("picture-error").textContent = error.message;
  }
}

// The question

async function ask() {
  if (state.running) return;
  byId("ask-error").textContent = state.contract ? "" : "The model is being looked up. Ask again in a moment.";
  if (!state.contract) return;
  const { model, contract, picture } = state;
  const invalid = firstInvalid(contract.columns);
  if (invalid) {
    byId("ask-error").textContent = "A value of the form is not as expected.";
    return invalid.focus();
  }
  const texts = textsOf(contract.columns);
  const known = Object.values(texts).some((text) => text !== "");
  if (!picture && !known) {
    const ways = [contract.image && "choose an image", contract.columns.length > 0 && "fill in a value"];
    byId("ask-error").textContent = `There is no case yet: ${ways.filter(Boolean).join(" or ")}.`;
    return;
  }
  const asked = { model, contract, picture, texts, key: caseKey() };
  const running = new AbortController();
  setRunning(running);
  try {
    const [answer, alone] = await answers(asked, known, running.signal);
    const parts = await resultOf(asked, answer, alone);
    if (running.signal.aborted) return;
    state.shown = asked.key;
    byId("answer").replaceChildren(...parts);
    showResult();
    state.said = sentenceOf(asked, answer);
  } catch (error) {
    if (error.name === "AbortError" || running.signal.aborted) return;
    running.abort(); // The other request, if there is one.
    if (!(error instanceof PageError)) throw error;
    byId("ask-error").textContent = error instanceof Gone ? await follow(asked.model) : error.message;
    if (error instanceof TokenNeeded) fail(error);
  } finally {
    setRunning(null);
    markStale();
  }
}

/** Looks for what is served in place of a version; what to tell of it. */
async function follow({ name, version }) {
  await start();
  const now = state.contract ? ` Now chosen: ${state.model.name}, version ${state.model.version}. Ask again.` : "";
  return `${name}, version ${version}, is no longer served.${now}`;
}

/** The full answer, and that of the image alone where it is another one. */
function answers({ model, contract, picture, texts }, known, signal) {
  const inputs = valuesOf(contract.columns);
  const image = { [IMAGE]: picture ? { b64: picture.base64 } : "" };
  if (contract.image) Object.assign(inputs, image);
  const both = picture && known && contract.imageOnly;
  return Promise.all([
    predict(model, contract.signature, inputs, contract.outputs, signal),
    both ? predict(model, "image_only", image, contract.imageOnly, signal) : null,
  ]);
}

/** Brings the result into view where it stands below the form. */
function showResult() {
  const { top, bottom } = byId("result-title").getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) byId("result").scrollIntoView();
}

function setRunning(running) {
  state.running = running;
  const busy = running !== null;
  byId("ask").setAttribute("aria-disabled", String(busy));
  byId("ask").textContent = busy ? "Working…" : "Ask the model";
  byId("ask").classList.toggle("busy", busy);
  byId("stop").hidden = !busy;
  byId("result").setAttribute("aria-busy", String(busy));
  byId("result").classList.toggle("answered", state.shown !== null && !busy);
  byId("status").textContent = busy ? "The model is working…" : state.said;
}

function clearCase() {
  state.running?.abort();
  state.reading += 1;
  if (state.contract) clearForm(state.contract.columns);
  state.shown = null;
  setPicture(null);
  byId("answer").replaceChildren();
  byId("ask-error").textContent = "";
  state.said = NOTHING;
  setRunning(state.running);
}

// Hands and keys

byId("model").addEventListener("change", (event) => choose(state.models[Number(event.target.value)]));
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("token").value);
  byId("token").value = "";
  start();
});
byId("drop").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => takeFiles([...event.target.files]));
byId("remove").addEventListener("click", () => {
  state.reading += 1;
  setPicture(null);
  byId("drop").focus();
});
// The whole window takes the file: one dropped beside the field must not open in place
// of the page.
const bringsFiles = (event) => event.dataTransfer.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) byId("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  byId("drop").classList.remove("over");
  takeFiles([...event.dataTransfer.files]);
});
byId("case").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
byId("stop").addEventListener("click", () => {
  state.running?.abort();
  if (state.shown === null) state.said = "Stopped: there is no answer to this case.";
  byId("ask").focus();
});
byId("clear").addEventListener("click", () => {
  clearCase();
  byId(state.contract?.image ? "drop" : "case").focus();
});
start();
