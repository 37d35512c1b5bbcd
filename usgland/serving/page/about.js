// What a model has learned from and how well it did, in plain words.

import { element, pairList, percent } from "./dom.js";

const DISCLAIMER =
  "It gives a probability for one case. It does not diagnose, it is no medical device, and a probability is no reason to skip or to do a biopsy.";

export function aboutModel(model) {
  const { sheet } = model;
  const text = [element("p", {}, element("strong", {}, DISCLAIMER))];
  if (!sheet) {
    const unknown = "What it was trained on, how well it does and its operating point are not known here.";
    return [element("p", { class: "warning" }, `${model.problem} ${unknown}`), ...text];
  }
  const { trained_on: trained } = sheet;
  const pairs = [
    ["Model", `${model.name}, version ${model.version}${dateOf(sheet)}`],
    ["Trained on", `${trained.synthetic ? "SYNTHETIC, no patients: " : ""}${trained.source}`],
    [trained.synthetic ? "Synthetic patients" : "Patients", counts(trained.patients, trained.malignant_patients)],
    ["Images", counts(trained.images, {})],
    ["AUC on test", aucOf(sheet)],
    ["Operating point", sheet.operating_point
      ? `${percent(sheet.operating_point.probability)}; ${sheet.operating_point.rule}`
      : "none is stored: no case is called benign or malignant"],
  ];
  if (sheet.test && sheet.operating_point) pairs.push(["There, on test", atThePoint(sheet.test)]);
  return [
    pairList(pairs),
    ...text,
  ];
}

function dateOf({ created }) {
  const day = /^\d{4}-\d{2}-\d{2}/.exec(created);
  return day ? `, written on ${day[0]}` : "";
}

/** "60 to train (23 malignant), 12 to choose settings, 18 to test" */
function counts(numbers, malignant) {
  const roles = [["train", "to train"], ["val", "to choose settings"], ["test", "to test"]];
  const shown = roles.filter(([role]) => role in numbers).map(([role, words]) => {
    const ill = role in malignant ? ` (${malignant[role]} malignant)` : "";
    return `${numbers[role]} ${words}${ill}`;
  });
  return shown.join(", ") || "not known";
}

function aucOf({ test, trained_on: trained }) {
  const who = trained.synthetic ? "synthetic patients" : "patients";
  if (!test) return `never evaluated on test ${who}`;
  const auc = figure(test.roc_auc, (share) => share.toFixed(3));
  return `${auc}, on ${test.patients} ${who}`;
}

/** "sensitivity 88.2% (95% interval 65.7% to 96.7%), specificity ..." */
function atThePoint({ sensitivity, specificity }) {
  const shown = [["sensitivity", sensitivity], ["specificity", specificity]]
    .filter(([, found]) => found)
    .map(([name, found]) => `${name} ${figure(found, (share) => `${(100 * share).toFixed(1)}%`)}`);
  return shown.join(", ") || "not known";
}

function figure({ value, low, high, level }, written) {
  if (typeof value !== "number") return "undefined";
  const bounded = typeof low === "number" && typeof high === "number";
  const interval = bounded
    ? `${Math.round(100 * level)}% interval ${written(low)} to ${written(high)}`
    : "no interval";
  return `${written(value)} (${interval})`;
}
