// What a model has learned from and how well it did, in plain words.

import { element, percent } from "./dom.js";

const DISCLAIMER =
  "It gives a probability from one image and a form. It does not diagnose, it is no medical device, and a probability is no reason to skip or to do a biopsy.";

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
    ["Trained on", `${trained.synthetic ? "SYNTHETIC phantoms, no patients: " : ""}${trained.source}`],
    [trained.synthetic ? "Synthetic patients" : "Patients", counts(trained.patients, trained.malignant_patients)],
    ["Images", counts(trained.images, {})],
    ["AUC on test", aucOf(sheet)],
    ["Operating point", sheet.operating_point
      ? `${percent(sheet.operating_point.probability)}; ${sheet.operating_point.rule}`
      : "none is stored: no case is called benign or malignant"],
  ];
  return [
    element("dl", {}, pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
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
  const { value, low, high, level } = test.roc_auc;
  if (typeof value !== "number") return `undefined on its ${test.patients} test ${who}`;
  const whole = (share) => share.toFixed(3);
  const interval = typeof low === "number" && typeof high === "number"
    ? `${Math.round(100 * level)}% interval ${whole(low)} to ${whole(high)}`
    : "no interval";
  return `${whole(value)} (${interval}; ${test.patients} ${who})`;
}
