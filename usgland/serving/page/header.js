// What the first bytes of an image file tell, before anything is decoded.

/** The type, whatever the file's name says; "" if it is none of ours. */
export function typeOf(bytes) {
  const starts = (...values) => values.every((value, i) => bytes[i] === value);
  if (starts(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return "image/png";
  if (starts(0xff, 0xd8, 0xff)) return "image/jpeg";
  if (starts(0x42, 0x4d)) return "image/bmp";
  const mark = String.fromCharCode(...bytes.subarray(128, 132));
  return mark === "DICM" ? "dicom" : "";
}

/** `[width, height]`; null if they are not found. */
export function sizeOf(bytes, type) {
  if (bytes.length < 26) return null;
  const view = new DataView(bytes.buffer);
  if (type === "image/png") return [view.getUint32(16), view.getUint32(20)];
  if (type === "image/bmp") {
    return [Math.abs(view.getInt32(18, true)), Math.abs(view.getInt32(22, true))];
  }
  for (const { marker, start, end } of segments(view)) {
    // A frame header (SOF); the others of the range are tables.
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame && end - start >= 5) return [view.getUint16(start + 3), view.getUint16(start + 1)];
  }
  return null;
}

/** Whether a JPEG asks to be shown turned or mirrored: EXIF tag 0x0112 is above 1. */
export function isTurned(bytes) {
  const view = new DataView(bytes.buffer);
  for (const { marker, start, end } of segments(view)) {
    if (marker !== 0xe1 || end - start < 14 || view.getUint32(start) !== 0x45786966) continue;
    const tiff = start + 6; // after "Exif", 0, 0
    const little = view.getUint16(tiff) === 0x4949;
    let place = tiff + view.getUint32(tiff + 4, little);
    if (place + 2 > end) return false;
    const entries = view.getUint16(place, little);
    place += 2;
    for (let i = 0; i < entries && place + 12 <= end; i += 1, place += 12) {
      if (view.getUint16(place, little) === 0x0112) return view.getUint16(place + 8, little) > 1;
    }
  }
  return false;
}

/** The segments of a JPEG before its pixels: marker, and where its content stands. */
function* segments(view) {
  let place = 2;
  while (place + 4 <= view.byteLength && view.getUint8(place) === 0xff) {
    const marker = view.getUint8(place + 1);
    if (marker === 0xda) return; // the pixels
    if (marker === 0xff) {
      place += 1;
      continue;
    }
    const end = place + 2 + view.getUint16(place + 2);
    if (end > view.byteLength) return;
    yield { marker, start: place + 4, end };
    place = end;
  }
}
