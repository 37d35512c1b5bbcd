// What the page can ask a version for: its signatures, joined with its model sheet.

import { PageError } from "./rest.js";

export const IMAGE = "image_bytes";
const TYPES = { DT_STRING: "text", DT_FLOAT: "number" };

/**
 * @param model an entry of models.json
 * @param signatures of its metadata
 * @returns `{signature, outputs, imageOnly, image, columns}`; `imageOnly` are the
 *   outputs of that signature or null, `columns` those of the form, one an input.
 */
export function contractOf(model, signatures) {
  const signature = Object.hasOwn(signatures, "explain") ? "explain" : "serving_default";
  if (!Object.hasOwn(signatures, signature)) {
    throw new PageError("This model has neither the signature `explain` nor `serving_default`; this page cannot ask it.");
  }
  const { inputs, outputs } = signatures[signature];
  const names = Object.keys(outputs);
  if (!names.includes("probability")) {
    throw new PageError("This model gives no output `probability`; this page cannot show its answer.");
  }
  const columns = columnsOf(inputs, model.sheet?.form ?? []);
  const imageOnly = Object.hasOwn(signatures, "image_only") && columns.length > 0;
  return {
    signature,
    outputs: names,
    image: Object.hasOwn(inputs, IMAGE),
    imageOnly: imageOnly ? Object.keys(signatures.image_only.outputs) : null,
    columns,
  };
}

/** The sheet's columns in its order, then inputs that only the graph knows. */
function columnsOf(inputs, form) {
  const known = form.filter(({ column }) => Object.hasOwn(inputs, column));
  const listed = new Set([IMAGE, ...known.map(({ column }) => column)]);
  const others = Object.keys(inputs).filter((name) => !listed.has(name)).sort();
  const columns = [...known, ...others.map((column) => ({ column, kind: null, role: "" }))];
  return columns.map((column) => {
    const { dtype, tensor_shape: shape } = inputs[column.column];
    const type = TYPES[dtype];
    if (!type || (shape?.dim ?? []).length !== 1) {
      throw new PageError(`This model wants “${column.column}”, which this page cannot ask for.`);
    }
    return { ...column, kind: column.kind ?? type };
  });
}
