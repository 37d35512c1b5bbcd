// What the reader says of a case: call, how sure, descriptors.

import { byId, element } from "./dom.js";

const TYPING = 1200; // milliseconds within which digits make one number
let sure = null; // null until it was chosen
let typed = "";
let typedAt = 0;

const calls = () => [...document.querySelectorAll("input[name=call]")];

/** Empty fields, or those of an earlier answer of the same case. */
export function openAnswer(asked, earlier) {
  const draft = earlier ?? { call: null, confidence: null, descriptors: {} };
  for (const field of calls()) field.checked = field.value === draft.call;
  setSure(draft.confidence);
  typed = "";
  byId("asked").hidden = asked.length === 0;
  byId("descriptors").replaceChildren(...asked.map((part) => fieldOf(part, draft.descriptors[part.column])));
  say("");
}

function fieldOf({ column, title, words, low, high }, value = null) {
  const id = `read-${column}`;
  let field;
  if (words.length > 0) {
    field = element("select", { id, "data-column": column },
      element("option", { value: "-" }, "choose"),
      words.map((word) => element("option", { value: word }, word)),
      element("option", { value: "" }, "cannot tell"));
    field.value = value ?? "-";
  } else {
    const range = low === null || high === null ? "a number" : `${low} to ${high}`;
    field = element("input", { id, "data-column": column, type: "text", inputmode: "decimal", placeholder: `${range}, or nothing`, autocomplete: "off" });
    field.value = value ?? "";
  }
  return element("div", { class: "field" }, element("label", { for: id }, title), field);
}

function setSure(value) {
  sure = value;
  const slider = byId("confidence");
  slider.value = value ?? 50;
  slider.classList.toggle("unset", value === null);
  slider.setAttribute("aria-valuetext", value === null ? "not chosen yet" : `${value}`);
  byId("sure").textContent = value ?? "–";
}

/** What was chosen so far. */
export function draft() {
  const fields = [...byId("descriptors").querySelectorAll("[data-column]")];
  return {
    call: calls().find((field) => field.checked)?.value ?? null,
    confidence: sure,
    descriptors: Object.fromEntries(fields.map((field) => [field.dataset.column, field.value.trim().replace(",", ".")])),
  };
}

/** The whole answer; null, and what is missing is said. */
export function wholeAnswer() {
  const said = draft();
  const missing = [];
  if (said.call === null) missing.push("call");
  if (said.confidence === null) missing.push("how sure");
  const open = Object.entries(said.descriptors).filter(([, value]) => value === "-");
  if (open.length > 0) missing.push(`${open.length} of what you see`);
  say(missing.length > 0 ? `Missing: ${missing.join(", ")}` : "");
  if (open.length > 0 && missing.length === 1) byId(`read-${open[0][0]}`).focus();
  return missing.length > 0 ? null : said;
}

export function say(text) {
  byId("answer-error").textContent = text;
}

/** Whether a key was one of the answer's. */
export function answerKey(key) {
  const call = { b: "benign", m: "malignant" }[key.toLowerCase()];
  if (call) {
    for (const field of calls()) field.checked = field.value === call;
    say("");
    return true;
  }
  if (!/^\d$/.test(key)) return false;
  const now = performance.now();
  const number = now - typedAt < TYPING ? typed + key : key;
  typed = Number(number) > 100 || number.length > 3 ? key : number;
  typedAt = now;
  setSure(Number(typed));
  say("");
  return true;
}

export function watchAnswer() {
  const slider = byId("confidence");
  // A click where the thumb already is changes no value, and is an answer, too.
  for (const kind of ["input", "click"]) {
    slider.addEventListener(kind, () => {
      setSure(Number(slider.value));
      say("");
    });
  }
  for (const field of calls()) field.addEventListener("change", () => say(""));
}
