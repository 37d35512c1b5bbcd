// TensorFlow Serving's REST, and the list of models; the only place that asks anyone.

/** What the page shows in one line. */
export class PageError extends Error {}
/** The server wants a token, or another one. */
export class TokenNeeded extends PageError {}
/** The version is not served any more. */
export class Gone extends PageError {}

const LONGEST = 160; // characters of a server's message
let token = ""; // Until the page is closed; never stored.

export function useToken(text) {
  token = text.trim();
}

/** `{max_body_bytes, models: [{name, version, sheet, problem}]}` */
export const listModels = () => ask("page/models.json");

/** The signatures of a version: name -> `{inputs, outputs}`. */
export async function signaturesOf(model) {
  const answer = await ask(`${pathOf(model)}/metadata`);
  const found = answer?.metadata?.signature_def?.signature_def;
  if (!found) throw new PageError("The server told nothing of the model's inputs.");
  return found;
}

/**
 * One case through a signature.
 * @param inputs name -> text, number (NaN where unknown) or `{b64}`; every one there.
 * @param outputs names of the outputs.
 */
export async function predict(model, signature, inputs, outputs, signal) {
  const body = requestOf(signature, inputs);
  const answer = await ask(`${pathOf(model)}:predict`, { method: "POST", body, signal });
  const row = answer?.predictions?.[0];
  if (row === undefined) throw new PageError("The server's answer holds no prediction.");
  // A single output stands without its name.
  const values = outputs.length === 1 ? { [outputs[0]]: row } : row;
  if (typeof values.probability !== "number") {
    throw new PageError("The server's answer holds no probability.");
  }
  return values;
}

export function requestOf(signature, inputs) {
  // By hand: JSON.stringify would write null for NaN, which is how TensorFlow
  // Serving reads a number that is not known.
  const row = Object.entries(inputs).map(([name, value]) => {
    const text = Number.isNaN(value) ? "NaN" : JSON.stringify(value);
    return `${JSON.stringify(name)}:${text}`;
  });
  return `{"signature_name":${JSON.stringify(signature)},"instances":[{${row.join(",")}}]}`;
}

function pathOf(model) {
  return `v1/models/${encodeURIComponent(model.name)}/versions/${model.version}`;
}

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (options.body) headers["Content-Type"] = "application/json";
  let response, text;
  try {
    response = await fetch(path, {
      ...options,
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (!byteString(token)) {
      throw new TokenNeeded("A token has no such characters. Enter it again.");
    }
    throw new PageError("The server does not answer. Is it still running?");
  }
  const answer = parsed(text);
  if (response.ok && answer !== undefined) return answer;
  throw failure(response.status, typeof answer?.error === "string" ? answer.error : "");
}

const byteString = (text) => /^[\x20-\x7e]*$/.test(text);

function failure(status, message) {
  const said = shortened(message);
  switch (status) {
    case 200:
      return new PageError("The server's answer could not be read.");
    case 400:
      return /image|decod|png|jpe?g|bmp/i.test(message)
        ? new PageError(`The model cannot read this image: is the file whole? (${said})`)
        : new PageError(`The model does not accept this case. (${said})`);
    case 401:
    case 403:
      return new TokenNeeded(
        token ? "The server does not accept this token." : "This server asks for a token.",
      );
    case 404:
      return new Gone(`This model is not served now. (${said})`);
    case 408:
    case 504:
      return new PageError("The answer took too long. Try again.");
    case 413:
      return new PageError("The image is larger than the server accepts.");
    case 429:
      return new PageError("The server is busy. Try again in a moment.");
    case 503:
      return new PageError("The server cannot answer now. Try again in a moment.");
    default:
      return new PageError(`The server failed (status ${status}). ${said}`.trim());
  }
}

function shortened(message) {
  const line = message.replace(/\s+/g, " ").trim();
  if (!line) return "no reason given";
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}

/** Reads JSON in which TensorFlow Serving may have written NaN; undefined if none. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    // Whole strings are skipped, so only a number can be replaced.
    const strict = text.replace(
      /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/g,
      (found) => (found.startsWith('"') ? found : "null"),
    );
    try {
      return JSON.parse(strict);
    } catch {
      return undefined;
    }
  }
}
