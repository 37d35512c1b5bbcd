// The heat map in colours over the image, with its legend and its slider.

import { element } from "./dom.js";
import { lesionBox, lesionLine } from "./lesion.js";
import { draw } from "./picture.js";

// From dark violet over red to pale yellow: lightness rises all the way, so it reads
// the same without colour vision, and none of it is a grey of the image. The legend in
// page.css has the same stops.
const STOPS = [
  [72, 12, 110],
  [165, 36, 106],
  [226, 86, 60],
  [250, 160, 52],
  [252, 244, 170],
];
const FULL = 0.4; // share of the maximum from which the colour covers fully

/** The image with the box of the lesion, where the model gives no map. */
export function lesionFigure(picture, lesion) {
  const image = element("canvas", { "aria-hidden": "true" });
  draw(image, picture.image);
  const stack = element("div", { class: "stack", role: "img", "aria-label": picture.name }, image);
  return element("figure", {}, stack, lesionPart(stack, picture, lesion));
}

function lesionPart(stack, picture, lesion) {
  if (!lesion.isFound) return lesionLine(lesion, null);
  const box = lesionBox(lesion, picture);
  stack.append(box);
  return lesionLine(lesion, box);
}

/** Canvas of the image, canvas of the map above it, slider, legend, and the lesion. */
export async function heatmapFigure(picture, base64, lesion) {
  const image = element("canvas", { "aria-hidden": "true" });
  draw(image, picture.image);
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const map = element("canvas", { class: "map", "aria-hidden": "true" });
  map.dataset.source = `${bitmap.width}x${bitmap.height}`;
  const strongest = colour(draw(map, bitmap), map.width, map.height);
  bitmap.close();
  const stack = element(
    "div",
    { class: "stack", role: "img", "aria-label": `Heat map over ${picture.name}` },
    image,
    map,
  );
  const parts = lesion ? [lesionPart(stack, picture, lesion)] : [];
  if (!strongest) {
    const empty = "Nothing in this image speaks for malignant to this model: the map is empty.";
    return element("figure", {}, stack, parts, element("figcaption", {}, empty));
  }
  return element("figure", {}, stack, slider(map), parts, legend());
}

/** Replaces greys by colours; whether there was anything but black. */
function colour(context, width, height) {
  const pixels = context.getImageData(0, 0, width, height);
  const { data } = pixels;
  const table = Array.from({ length: 256 }, (_, value) => colourOf(value / 255));
  let strongest = 0;
  for (let i = 0; i < data.length; i += 4) {
    const value = data[i];
    strongest = Math.max(strongest, value);
    [data[i], data[i + 1], data[i + 2], data[i + 3]] = table[value];
  }
  context.putImageData(pixels, 0, 0);
  return strongest > 0;
}

function colourOf(share) {
  const place = share * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  const mix = (i) => STOPS[low][i] + (place - low) * (STOPS[low + 1][i] - STOPS[low][i]);
  return [mix(0), mix(1), mix(2), 255 * Math.min(1, share / FULL)].map(Math.round);
}

function slider(map) {
  const input = element("input", {
    type: "range", id: "opacity", min: "0", max: "100", step: "5", value: "60", autocomplete: "off",
  });
  const shown = element("output", { for: "opacity" });
  const apply = () => {
    map.style.opacity = String(input.value / 100);
    shown.textContent = `${input.value}%`;
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.addEventListener("input", apply);
  apply();
  return element("div", { class: "slider" }, element("label", { for: "opacity" }, "Opacity of the map"), input, shown);
}

function legend() {
  return element(
    "figcaption",
    {},
    element(
      "div",
      { class: "legend" },
      element("span", {}, "weak"),
      element("span", { class: "legend-bar", "aria-hidden": "true" }),
      element("span", {}, "strongest in this image"),
    ),
    element("p", { class: "note" },
      "Where the image speaks for malignant to the model (Grad-CAM), relative to this image’s own maximum. The map does not outline a lesion."),
  );
}
