// The lesion that the model found: its box over the image, and how sure that is.

import { element, percent } from "./dom.js";

const FOUND = 0.5; // from here on a lesion is found

/** What an answer says of the lesion; null where the model has no head for it. */
export function lesionOf({ lesion_box: box, lesion_found: sure }) {
  if (!Array.isArray(box) || box.length !== 4 || typeof sure !== "number") return null;
  const [x, y, width, height] = box;
  return { x, y, width, height, sure, isFound: sure >= FOUND && width > 0 && height > 0 };
}

/** The box, to lie over a canvas of the whole picture. */
export function lesionBox(lesion, picture) {
  const box = element("div", { class: "lesion", "aria-hidden": "true" });
  const share = (part, whole) => `${(100 * part) / whole}%`;
  box.style.left = share(lesion.x, picture.width);
  box.style.top = share(lesion.y, picture.height);
  box.style.width = share(lesion.width, picture.width);
  box.style.height = share(lesion.height, picture.height);
  return box;
}

/** One line in words, with a box to tick for who wants the image bare. */
export function lesionLine(lesion, box) {
  if (!lesion.isFound) {
    return element("p", { class: "lesion-line" },
      `The model found no lesion in this image (${percent(lesion.sure)} sure of one; from ${percent(FOUND)} on one is found).`);
  }
  const tick = element("input", { type: "checkbox", id: "lesion-shown", autocomplete: "off" });
  tick.checked = true;
  tick.addEventListener("change", () => { box.hidden = !tick.checked; });
  return element("p", { class: "lesion-line" },
    element("label", { for: "lesion-shown" },
      tick,
      element("span", {}, `Lesion that the model found, ${percent(lesion.sure)} sure`),
      element("span", { class: "lesion-key", "aria-hidden": "true" })),
    element("span", { class: "note" }, "A rough box, no measurement."));
}
