// The image: checked before it is sent, and drawn as the model sees it.

import { isTurned, sizeOf, typeOf } from "./header.js";
import { PageError } from "./rest.js";

const MOST_PIXELS = 16_000_000; // the graph takes no more
const MOST_DRAWN = 1200; // pixels of the longer side on the screen
let count = 0;

/**
 * Reads a file into memory: what is shown and asked about cannot change on the disk.
 * @returns `{id, name, base64, width, height, image}`, with a canvas of the image
 */
export async function readPicture(file, mostBytes) {
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new PageError(`${file.name} cannot be read. Is it a folder, or was it moved?`);
  }
  const type = typeOf(bytes);
  if (type === "dicom") {
    throw new PageError(`${file.name} is a DICOM file, which this page does not read. Export it as PNG or JPEG.`);
  }
  if (type === "") {
    throw new PageError(`${file.name} is not a PNG, JPEG or BMP image.`);
  }
  if ((bytes.length * 4) / 3 + 10_000 > mostBytes) {
    throw new PageError(`${file.name} is larger than the server accepts (about ${Math.floor((mostBytes * 0.75) / 1048576)} megabytes).`);
  }
  const size = sizeOf(bytes, type);
  if (size && size[0] * size[1] > MOST_PIXELS) {
    throw new PageError(`${file.name} has ${size[0]} × ${size[1]} pixels; the model takes at most 16 megapixels.`);
  }
  if (type === "image/jpeg" && isTurned(bytes)) {
    throw new PageError(`${file.name} is turned by its EXIF data, which the model does not follow. Save it upright.`);
  }
  const blob = new Blob([bytes], { type });
  let bitmap;
  try {
    bitmap = await decoded(blob);
  } catch {
    throw new PageError(`${file.name} is damaged or incomplete: it cannot be shown.`);
  }
  const { width, height } = bitmap;
  const image = document.createElement("canvas");
  draw(image, bitmap);
  bitmap.close(); // Up to 64 megabytes.
  const base64 = await base64Of(blob);
  count += 1;
  return { id: count, name: file.name, base64, width, height, image };
}

// As the model does, without turning the image as its camera notes say.
const decoded = (blob) => createImageBitmap(blob, { imageOrientation: "none" });

function base64Of(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new PageError("The image cannot be read."));
    reader.readAsDataURL(blob);
  });
}

/** Draws a picture into a canvas, no larger than a screen needs. */
export function draw(canvas, source, most = MOST_DRAWN) {
  const scale = Math.min(1, most / Math.max(source.width, source.height));
  canvas.width = Math.max(1, Math.round(source.width * scale));
  canvas.height = Math.max(1, Math.round(source.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return context;
}
