// The answer to one case, with the inputs it belongs to.

import { columnTitle, element, pairList, percent, signed } from "./dom.js";
import { heatmapFigure, lesionFigure } from "./heatmap.js";
import { lesionOf } from "./lesion.js";

/**
 * Everything about an answer, as elements.
 * @param asked `{model, contract, picture, texts}`, as it was when it was asked
 * @param answer outputs of `explain`
 * @param alone outputs of `image_only`, or null where it would be the same
 */
export async function resultOf(asked, answer, alone) {
  const point = asked.model.sheet?.operating_point ?? null;
  const scales = [
    scale(titleOf(asked), answer, point, "main"),
    alone && scale("The same case, image alone", alone, point, "second"),
  ];
  const synthetic = asked.model.sheet?.trained_on.synthetic ?? false;
  const parts = [
    // With the result as well: the chosen model may be another one by then.
    synthetic && element("p", { class: "tag" }, element("strong", {}, "SYNTHETIC"), " from a model of phantoms, not of patients"),
    element("div", { class: "scales" }, scales.filter(Boolean)),
    contributions(asked, answer),
    await heatmap(asked, answer),
    inputs(asked, answer),
  ];
  return parts.filter(Boolean);
}

/** One sentence for who does not see the scale. */
export function sentenceOf(asked, answer) {
  const point = asked.model.sheet?.operating_point ?? null;
  return `Probability of malignancy ${percent(answer.probability, point?.probability)}. ${verdict(answer, point)}`;
}

const filled = (asked) => asked.contract.columns.filter(({ column }) => asked.texts[column] !== "");

function titleOf(asked) {
  if (!asked.picture) return "Clinical form alone";
  return filled(asked).length > 0 ? "Image and clinical form" : "Image alone";
}

function verdict({ probability, label }, point) {
  if (!point) return "The model stores no operating point, so the case is not called.";
  const called = label ?? (probability >= point.probability ? "malignant" : "benign");
  const side = called === "malignant" ? "At or above" : "Below";
  return `${side} the operating point of ${percent(point.probability)}: called ${called}.`;
}

/** Probability on a line from 0 to 100%, with the operating point. */
function scale(title, answer, point, kind) {
  const { probability } = answer;
  const shown = percent(probability, point?.probability);
  const marker = element("span", { class: "marker" });
  marker.style.left = `${100 * probability}%`;
  const line = element("div", { class: "line" }, marker);
  const ends = element("div", { class: "ends" });
  ends.append(element("span", {}, "0%"), element("span", {}, "100%"));
  if (point) {
    const threshold = element("span", { class: "threshold" });
    const name = element("span", { class: "threshold-name" }, `operating point ${percent(point.probability)}`);
    const place = 100 * point.probability;
    threshold.style.left = name.style.left = `${place}%`;
    name.style.setProperty("--shift", `${-place}%`); // stays inside the line
    line.style.setProperty("--point", `${place}%`);
    line.append(threshold, name);
    ends.replaceChildren(element("span", {}, "0% benign"), element("span", {}, "malignant 100%"));
  }
  const words = verdict(answer, point);
  return element(
    "section",
    { class: `scale ${kind}` },
    element("h3", {}, title),
    element("p", { class: "figure" },
      element("strong", {}, shown), " probability of malignancy"),
    element("p", { class: "verdict" }, words),
    element("div", { class: "picture", role: "img", "aria-label": `${title}: ${shown}. ${words}` }, line, ends),
  );
}

/** A bar a clinical value, towards malignant or benign, largest first. */
function contributions(asked, answer) {
  const rows = filled(asked)
    .map((column) => ({ column, value: answer[`contribution_${column.column}`] }))
    .filter(({ value }) => typeof value === "number")
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  if (rows.length === 0) return null;
  const largest = Math.max(...rows.map(({ value }) => Math.abs(value)), 1e-9); // of an all-zero table, too
  const together = rows.reduce((sum, { value }) => sum + value, 0);
  const body = rows.map(({ column, value }) => {
    const bar = element("span", { class: `bar ${value < 0 ? "benign" : "malignant"}` });
    bar.style.setProperty("--length", `${(50 * Math.abs(value)) / largest}%`);
    return element("tr", {},
      element("th", { scope: "row" }, columnTitle(column), " ", element("span", { class: "given" }, givenText(asked, column))),
      element("td", { class: "bars" }, element("span", { class: "axis", "aria-hidden": "true" }, bar)),
      element("td", { class: "number" }, signed(value)));
  });
  return element("section", { class: "contributions" },
    element("h3", {}, "What each clinical value contributed"),
    element("table", {},
      element("thead", {}, element("tr", {},
        element("th", { scope: "col" }, "Value"),
        element("th", { scope: "col", class: "sides" },
          element("span", {}, "◀ benign"), element("span", {}, "malignant ▶")),
        element("th", { scope: "col", class: "number" }, "Log-odds"))),
      element("tbody", {}, body),
      element("tfoot", {}, element("tr", {},
        element("th", { scope: "row", colspan: "2" }, "Together, against the same case without the form"),
        element("td", { class: "number" }, signed(together))))),
    element("p", { class: "note" },
      "Shapley values of this case, in log-odds. Plus speaks for malignant, minus for benign: +0.69 doubles the odds, \u22120.69 halves them. Each value is held against “not known”, so what is not known contributes nothing."));
}

function givenText(asked, { column, unit }) {
  return `${asked.texts[column]}${unit ? ` ${unit}` : ""}`;
}

async function heatmap(asked, answer) {
  if (!asked.picture) return null;
  const content = answer.heatmap_bytes?.b64;
  const lesion = lesionOf(answer);
  const title = element("h3", {}, "Where the image speaks for malignant");
  if (content) {
    return element("section", { class: "heatmap" }, title, await heatmapFigure(asked.picture, content, lesion));
  }
  const none = element("p", { class: "note" }, "This model gives no heat map.");
  return element("section", {}, title, none, lesion ? lesionFigure(asked.picture, lesion) : []);
}

/** What was asked, so that an answer is never read for another case. */
function inputs(asked, answer) {
  const { model, picture, contract } = asked;
  const pairs = [["Image", picture ? `${picture.name}, ${picture.width} × ${picture.height} pixels` : "none"]];
  const given = filled(asked);
  for (const column of given) pairs.push([columnTitle(column), givenText(asked, column)]);
  const missing = contract.columns.filter((column) => !given.includes(column)).map(columnTitle);
  if (missing.length > 0) pairs.push(["Not known", missing.join(", ")]);
  pairs.push(["Model", answer.model_version ?? `${model.name}/${model.version}`]);
  pairs.push(["Answered at", new Date().toLocaleTimeString()]);
  return element("section", { class: "inputs" },
    element("h3", {}, "Inputs of this result"),
    pairList(pairs));
}
