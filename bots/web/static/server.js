// Talks to the server: JSON in and out, and the stream of what happens. Knows nothing of the page.

export class Refusal extends Error {}

async function ask(path, body) {
  const options = body === undefined
    ? { method: "GET" }
    : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin" });
  } catch {
    throw new Error("The connection was lost; try again in a moment.");
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(content.sentence || "That did not work; try again in a moment.");
  return content;
}

export const openSession = (assistant) => ask("/api/session", { assistant });
export const readHistory = () => ask("/api/history");
export const chooseAssistant = (assistant) => ask("/api/assistant", { assistant });
export const sendMessage = (text, id) => ask("/api/messages", { text, id });
export const redeemCode = (code) => ask("/api/operator", { code });
export const askForCode = () => ask("/api/operator/code", {});

export function newId(prefix = "m") {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `${prefix}-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

// The browser resumes a dropped stream by itself, from the last id it saw; `lost` is called when it gave up.
export function follow(cursor, { entry, lost, connected }) {
  const source = new EventSource(`/api/stream?after=${encodeURIComponent(cursor)}`);
  source.onopen = () => connected(true);
  source.onmessage = (message) => entry(JSON.parse(message.data));
  source.onerror = () => {
    connected(false);
    if (source.readyState === EventSource.CLOSED) lost();
  };
  return () => source.close();
}
