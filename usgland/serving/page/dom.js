// Builds elements. Text is always set as text: a name of a file or a word of a model
// never becomes markup.

/** An element with attributes and children; a child is an element or a text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children.flat());
  return made;
}

/** A list of `[name, value]`. */
export function pairList(pairs) {
  return element("dl", {}, pairs.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

export const byId = (id) => document.getElementById(id);

/** A share as a percentage with one decimal, or more where `other` looks the same. */
export function percent(share, other = null) {
  if (share < 0.001 && share !== other) return "< 0.1%";
  if (share > 0.999 && share !== other) return "> 99.9%";
  let decimals = 1;
  const digits = (value) => (100 * value).toFixed(decimals);
  while (other !== null && share !== other && decimals < 5 && digits(share) === digits(other)) {
    decimals += 1;
  }
  return `${digits(share)}%`;
}

/** A number with its sign; a true minus, as wide as the plus. */
export function signed(value) {
  const text = Math.abs(value).toFixed(2);
  if (Number(text) === 0) return "0.00";
  return (value < 0 ? "\u2212" : "+") + text;
}

/** "bmi_kg_m2" of unit "kg/m2" -> "BMI". */
export function columnTitle(column) {
  const unit = (column.unit ?? "").replace(/[^A-Za-z0-9]+/g, "_");
  let name = column.column;
  if (unit && name.endsWith(`_${unit}`)) name = name.slice(0, -unit.length - 1);
  const words = name.replaceAll("_", " ").replace(/\bbmi\b/g, "BMI").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
