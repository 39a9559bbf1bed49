// The chat page: puts the server's words into the log, and the person's words on their way.

import { element } from "./markdown.js";
import { Log } from "./log.js";
import { Hints } from "./hints.js";
import { Refusal, askForCode, chooseAssistant, follow, newId, openSession, readHistory, redeemCode, sendMessage } from "./server.js";

const $ = (id) => document.getElementById(id);
const longest = Number(document.body.dataset.longest);
const text = $("text");
const scroll = $("scroll");
const STATES = {
  ready: "Ready", warming: "Warming up", restarting: "Starting again", unwell: "Not answering", asleep: "Resting",
  failed: "Out of order", off: "Not running",
};

let session = { role: "member", assistant: null, assistants: [], commands: [] };
let status = null;
let online = true;
let opened = false;
let stopFollowing = () => {};
let pinned = true;

const SPOKEN_MS = 15_000;

// Read out one after the other: what comes next must not take the place of what was not read yet.
function speak(words) {
  const line = element("p", {}, words);
  $("spoken").append(line);
  setTimeout(() => line.remove(), SPOKEN_MS);
}
const say = (sentence) => log.entry({ kind: "notice", key: newId("own"), text: sentence, tone: "warning", passing: false });

const log = new Log($("log"), {
  command: (command) => {
    const id = newId("b");
    send(command, id);
    return id;
  },
  teach: (question) => begin(`/teach ${question} => `),
  resend: (words, id) => send(words, id),
  speak,
  changed: settle,
});
const hints = new Hints(text, $("hints"), () => session.commands, grow);

// --- What is shown beside the log -------------------------------------------------------------------------------

function settle() {
  const waiting = log.busy;
  $("stop").hidden = !waiting;
  $("send").hidden = waiting && !text.value.trim();
  $("empty").hidden = !opened || !log.empty;
  if (pinned) scroll.scrollTop = scroll.scrollHeight;
  $("newest").hidden = pinned;
}

// Neighbours in the list differ in colour.
function tint(name) {
  return String(Math.max(0, session.assistants.indexOf(name)) % 5);
}

function showAvatar(node, name) {
  node.textContent = (name[0] || "P").toUpperCase();
  node.dataset.tint = tint(name);
}

function showSession(next) {
  session = { ...session, ...next };
  const name = session.assistant || "Parlance";
  $("name").textContent = name;
  document.title = `${name} · Parlance`;
  showAvatar($("avatar"), name);
  showAvatar($("empty-avatar"), name);
  $("empty-title").textContent = session.assistant ? `Say hello to ${name}`
    : session.assistants.length ? "Who would you like to talk with?" : "No assistant lives here yet";
  $("empty-words").textContent = session.assistant ? "Write below, or begin with one of these."
    : session.assistants.length ? "Choose one from the menu above." : "Whoever runs this installation can add one.";
  document.querySelector(".suggestions").hidden = !session.assistant;
  text.placeholder = session.assistant ? `Write to ${name}` : "Write a message";
  $("picker-part").hidden = session.assistants.length < 2 && Boolean(session.assistant);
  $("picker").replaceChildren(...session.assistants.map(pickerItem));
  const operator = session.role !== "member";
  document.body.toggleAttribute("data-operator", operator);
  $("operator").hidden = operator;
  $("operator-note").hidden = !operator;
  if (next.status) showStatus(next.status);
}

function pickerItem(name) {
  const avatar = element("span", { class: "avatar", "aria-hidden": "true" });
  showAvatar(avatar, name);
  const chosen = String(name === session.assistant);
  const button = element("button", { type: "button", class: "menu-item", "aria-pressed": chosen }, avatar, name);
  button.addEventListener("click", async () => {
    $("menu").open = false;
    try {
      showSession(await chooseAssistant(name));
      rememberAssistant(name);
    } catch (error) {
      say(error.message);
    }
    text.focus();
  });
  return button;
}

function rememberAssistant(name) {
  const address = new URL(location.href);
  address.searchParams.set("assistant", name);
  address.hash = "";
  history.replaceState(null, "", address);
}

function showStatus(next) {
  status = next;
  const state = online ? next.state : "lost";
  $("state").dataset.state = state;
  $("state").title = online ? next.sentence : "";
  $("state-words").textContent = online ? STATES[next.state] || next.state : "Offline";
  const banner = $("banner");
  banner.hidden = online && next.state === "ready" && !next.notice;
  banner.toggleAttribute("data-still", online && ["ready", "failed", "off"].includes(next.state));
  banner.toggleAttribute("data-aside", online && next.state === "ready");
  if (!online) $("banner-words").textContent = "The connection was lost; trying to reach it again.";
  else if (["warming", "restarting", "unwell", "asleep"].includes(next.state)) {
    $("banner-words").textContent = `${next.sentence} You can write already.`;
  } else $("banner-words").textContent = next.state === "ready" ? next.notice || "" : next.sentence;
}

function showOnline(now) {
  if (online === now) return;
  online = now;
  showStatus(status || { state: "warming", sentence: "" });
}

// --- To and from the server -------------------------------------------------------------------------------------

async function open() {
  stopFollowing();
  try {
    const wanted = new URL(location.href).searchParams.get("assistant") || undefined;
    const found = await openSession(wanted);
    const past = await readHistory();
    log.clear();
    showSession(found);
    for (const item of past.items) log.entry(item);
    opened = true;
    settle();
    if (found.sentence) say(found.sentence);
    stopFollowing = follow(past.cursor, { entry: arrived, lost: () => again(open), connected: showOnline });
    showOnline(true);
    await codeFromAddress();
  } catch (error) {
    if (error instanceof Refusal) say(error.message);
    else showOnline(false);
    again(open);
  }
}

let retrying = 0;
function again(work) {
  clearTimeout(retrying);
  retrying = setTimeout(work, 2500);
}

function arrived(entry) {
  if (entry.kind === "status") showStatus(entry);
  else if (entry.kind === "refresh") again(open);
  else if (entry.kind === "moved") {
    showSession({ assistant: entry.assistant });
    rememberAssistant(entry.assistant);
  } else {
    log.entry(entry);
  }
}

async function send(words, id) {
  if (!id.startsWith("b-")) log.sending(words, id);
  pinned = true;
  settle();
  try {
    await sendMessage(words, id);
  } catch (error) {
    if (id.startsWith("b-")) {
      log.release(id);
      say(error.message);
    } else log.notSent(words, id, error.message);
  }
}

// --- The composer -----------------------------------------------------------------------------------------------

function grow() {
  if (!CSS.supports("field-sizing", "content")) {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, 180)}px`;
  }
  const count = [...text.value].length;
  const near = count > longest * 0.9;
  $("count").hidden = !near;
  $("count").textContent = near ? `${count.toLocaleString()} of ${longest.toLocaleString()} characters` : "";
  $("count").classList.toggle("over", count > longest);
  $("send").disabled = !text.value.trim() || count > longest;
  settle();
}

// Puts words into the box for the person to go on with.
function begin(words) {
  text.value = words;
  hints.close();
  grow();
  text.focus();
  text.setSelectionRange(words.length, words.length);
}

function submit() {
  const words = text.value.trim();
  if (!words || $("send").disabled) return;
  text.value = "";
  hints.close();
  grow();
  send(words, newId());
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
text.addEventListener("input", grow);
text.addEventListener("keydown", (event) => {
  if (hints.key(event)) return;
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
});
$("stop").addEventListener("click", () => {
  send("/stop", newId("b"));
  text.focus();
});
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) text.focus();
  if (event.key === "Escape" && $("menu").open) $("menu").open = false;
  else if (event.key === "Escape" && log.busy && !event.defaultPrevented && !$("code-dialog").open) {
    send("/stop", newId("b"));
  }
});
for (const suggestion of document.querySelectorAll(".suggestion")) {
  suggestion.addEventListener("click", () => send(suggestion.textContent, newId()));
}

// --- Menu and operator code -------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  if ($("menu").open && !event.target.closest("#menu")) $("menu").open = false;
});
for (const name of ["reset", "help", "privacy"]) {
  $(name).addEventListener("click", () => {
    $("menu").open = false;
    send(`/${name}`, newId("b"));
  });
}
$("operator").addEventListener("click", () => {
  $("menu").open = false;
  $("code-problem").textContent = "";
  $("code").value = "";
  $("code-dialog").showModal();
});
$("code-cancel").addEventListener("click", () => $("code-dialog").close());
$("code-ask").addEventListener("click", async () => {
  try {
    $("code-problem").textContent = (await askForCode()).sentence;
  } catch (error) {
    $("code-problem").textContent = error.message;
  }
  $("code").focus();
});
$("code-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await signIn($("code").value);
    $("code-dialog").close();
  } catch (error) {
    $("code-problem").textContent = error.message;
  }
});

async function signIn(code) {
  showSession(await redeemCode(code));
  log.entry({ kind: "notice", key: newId("own"), tone: "good", passing: false,
    text: "You are signed in as operator; /help shows what you can do now." });
}

// The terminal shows an address that ends in #operator=CODE; the code leaves the address before anything else.
async function codeFromAddress() {
  const found = location.hash.match(/^#operator=([\w-]{4,12})$/);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    await signIn(found[1]);
  } catch (error) {
    if (session.role === "member") say(error.message);
  }
}

// --- Scrolling --------------------------------------------------------------------------------------------------

scroll.addEventListener("scroll", () => {
  pinned = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  $("newest").hidden = pinned;
}, { passive: true });
$("newest").addEventListener("click", () => {
  pinned = true;
  settle();
});
window.addEventListener("resize", settle);

grow();
if (matchMedia("(hover: hover)").matches) text.focus();
open();
