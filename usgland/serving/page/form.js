// The clinical form: one field a column, every one of them optional.

import { byId, columnTitle, element } from "./dom.js";

const GROUPS = [
  ["demographic", "Known before the image"],
  ["image_read", "Read from the image"],
  ["", "Further values"],
];
const NUMBER = /^[+\u2212-]?(\d+([.,]\d*)?|[.,]\d+)$/;

/** Builds the fields; a value that was typed for the last model stays where it fits. */
export function buildForm(columns, changed) {
  const before = Object.fromEntries(
    [...byId("fields").querySelectorAll("[data-column]")].map((field) => [field.dataset.column, field.value]),
  );
  const groups = GROUPS.map(([role, title]) => {
    const members = columns.filter((column) => groupOf(column) === role);
    const fields = members.map((column) => fieldOf(column, before[column.column]));
    return { title, fields };
  }).filter(({ fields }) => fields.length > 0);
  byId("fields").replaceChildren(
    ...groups.map(({ title, fields }) =>
      element("fieldset", {}, element("legend", {}, title), element("div", { class: "grid" }, fields)),
    ),
  );
  for (const column of columns) {
    const field = fieldNamed(column);
    field.addEventListener("input", () => {
      if (field.getAttribute("aria-invalid")) showProblem(column);
      changed();
    });
    field.addEventListener("change", () => {
      showProblem(column);
      changed();
    });
    showProblem(column);
  }
}

const groupOf = ({ role }) => (GROUPS.some(([known]) => known === role) ? role : "");
const fieldNamed = ({ column }) => byId(`field-${column}`);

function fieldOf(column, before = "") {
  const id = `field-${column.column}`;
  const words = wordsOf(column);
  const range = rangeOf(column);
  const described = { id, "data-column": column.column, autocomplete: "off", "aria-describedby": `${id}-note ${id}-error` };
  let field;
  if (words) {
    field = element("select", described,
      element("option", { value: "" }, "not known"),
      words.map((word) => element("option", { value: word }, word)));
    field.value = words.includes(before) ? before : "";
  } else {
    const mode = column.kind === "number" ? "decimal" : "text";
    field = element("input", { ...described, type: "text", inputmode: mode, placeholder: "not known", spellcheck: "false" });
    field.value = before;
  }
  return element("div", { class: "field" },
    element("label", { for: id }, columnTitle(column)),
    field,
    element("span", { class: "note", id: `${id}-note` }, range),
    element("span", { class: "error", id: `${id}-error`, "aria-live": "polite" }));
}

function wordsOf({ kind, words }) {
  if (kind === "yes_no") return ["yes", "no"];
  return kind === "category" ? words : null;
}

/** "1 to 110 years" */
function rangeOf({ kind, low, high, unit }) {
  if (kind !== "number") return "";
  const known = [low, high].every((bound) => typeof bound === "number");
  const range = known ? `${low} to ${high}` : "a number";
  return unit ? `${range} ${unit}` : range;
}

/** What is wrong with a field, or "". */
function problemOf(column) {
  const text = fieldNamed(column).value.trim();
  if (column.kind !== "number" || text === "") return "";
  const value = numberOf(text);
  const inside = value >= (column.low ?? -Infinity) && value <= (column.high ?? Infinity);
  return inside ? "" : `Expected ${rangeOf(column)}, or nothing if it is not known.`;
}

function numberOf(text) {
  return NUMBER.test(text) ? Number(text.replace(",", ".").replace("\u2212", "-")) : NaN;
}

function showProblem(column) {
  const problem = problemOf(column);
  const field = fieldNamed(column);
  byId(`${field.id}-error`).textContent = problem;
  if (problem) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
  return problem;
}

/** The first field with a problem, once each is shown; null if all is well. */
export function firstInvalid(columns) {
  const wrong = columns.filter((column) => showProblem(column) !== "");
  return wrong.length > 0 ? fieldNamed(wrong[0]) : null;
}

/** Column -> what stands in its field, "" if it is not known. */
export function textsOf(columns) {
  return Object.fromEntries(columns.map((column) => [column.column, fieldNamed(column).value.trim()]));
}

/** Column -> what the model is sent: NaN and "" mean not known. */
export function valuesOf(columns) {
  const texts = textsOf(columns);
  return Object.fromEntries(
    columns.map((column) => {
      const text = texts[column.column];
      return [column.column, column.kind === "number" ? numberOf(text) : text];
    }),
  );
}

export function clearForm(columns) {
  for (const column of columns) {
    fieldNamed(column).value = "";
    showProblem(column);
  }
}
