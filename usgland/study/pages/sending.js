// Asks the server. What must arrive is sent again until it has: a server that is away,
// a connection that is slow or broken, a full disk.

import { byId } from "./dom.js";

const FIRST_WAIT = 1000; // milliseconds
const LONGEST_WAIT = 15_000;
let seat = ""; // Only here: a page that is loaded anew asks for the key again.

/** What the server refuses, in a sentence for the reader. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const isSeated = () => seat !== "";

export function sit(token) {
  seat = token;
}

/**
 * Sends a request once.
 * @returns what the server answers: values, or a blob of an image
 */
async function once(path, body, milliseconds) {
  const headers = { "Content-Type": "application/json" };
  if (seat) headers.Authorization = `Bearer ${seat}`;
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), milliseconds);
  try {
    const answer = await fetch(`study/${path}`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      credentials: "omit",
      signal: limit.signal,
    });
    if (answer.ok) {
      const isImage = answer.headers.get("content-type") === "image/png";
      return await (isImage ? answer.blob() : answer.json());
    }
    const { error } = await answer.json().catch(() => ({})); // Of another server, maybe.
    throw new Refusal(error || `The server answers with status ${answer.status}`, answer.status);
  } finally {
    clearTimeout(timer);
  }
}

const mayPass = (error) => !(error instanceof Refusal) || error.status === 429 || error.status >= 500;

/** Sends a request until it is answered, and tells meanwhile why it waits. */
export async function ask(path, body = {}, milliseconds = 20_000) {
  for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      const answer = await once(path, body, milliseconds);
      tell("");
      return answer;
    } catch (error) {
      if (!mayPass(error)) {
        tell("");
        throw error;
      }
      const why = error instanceof Refusal ? error.message : "The server does not answer";
      tell(`${why.replace(/\.$/, "")}. This page tries again by itself; what you chose stays here.`);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

/** Sends what need not arrive, even while the page is being closed. */
export function mention(path, body) {
  if (!seat) return;
  fetch(`study/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${seat}` },
    body: JSON.stringify(body),
    credentials: "omit",
    keepalive: true,
  }).catch(() => {});
}

/** Asks once, for what the reader can repeat. */
export const tryOnce = (path, body) => once(path, body, 20_000);

export function tell(text) {
  const notice = byId("notice");
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = text === "";
}
