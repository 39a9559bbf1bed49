// The conversation on the page. Every entry has a key and may come twice: the second time changes nothing.

import { element, markdown } from "./markdown.js";

const AGAIN = "M4 12a8 8 0 1 0 2.6-5.9M4 4v4.5h4.5";
const COPY = "M9 9h10v10H9zM5 15V5h10";
const GOOD = "M7 11v9H4v-9zM7 11l4-7.5c1.3 0 2 1 1.8 2.2L12 9.5h6a1.8 1.8 0 0 1 1.8 2.1l-1 6.6a2 2 0 0 1-2 1.8H7";
const BAD = "M7 13V4H4v9zM7 13l4 7.5c1.3 0 2-1 1.8-2.2L12 14.5h6a1.8 1.8 0 0 0 1.8-2.1l-1-6.6a2 2 0 0 0-2-1.8H7";
const BETTER = "M4 20l1-4.5L15.5 5l3.5 3.5L8.5 19z";

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export class Log {
  // `command(text)` sends a command and gives its id; `resend(text, id)` sends a message once more; `speak(text)` reads
  // it out; `teach(question)` begins a better answer to it.
  constructor(list, { command, resend, speak, changed, teach }) {
    Object.assign(this, { list, command, resend, speak, changed, teach });
    this.pressed = new Map();
    this.items = new Map();
    this.answers = new Map();
    this.dirty = new Set();
    this.under_way = new Set();
  }

  clear() {
    this.list.replaceChildren();
    this.items.clear();
    this.answers.clear();
    this.under_way.clear();
    this.pressed.clear();
  }

  get empty() {
    return this.list.childElementCount === 0;
  }

  get busy() {
    return this.under_way.size > 0;
  }

  put(key, item, after = null) {
    const before = this.items.get(key);
    if (before) before.replaceWith(item);
    else if (after) after.after(item);
    else this.list.append(item);
    this.items.set(key, item);
    item.dataset.key = key;
    return item;
  }

  drop(key) {
    this.items.get(key)?.remove();
    this.items.delete(key);
  }

  // What was just sent and is not yet confirmed.
  sending(text, id) {
    const item = element("li", { class: "mine waiting" }, text);
    if (text.startsWith("/")) item.classList.add("command");
    this.put(`sent-${id}`, item);
  }

  notSent(text, id, sentence) {
    const item = this.items.get(`sent-${id}`);
    if (!item) return;
    const again = element("button", { type: "button", class: "button resend" }, "Send again");
    again.addEventListener("click", () => {
      this.drop(`sent-${id}`);
      this.resend(text, id);
    });
    item.replaceChildren(text, element("p", { class: "failed" }, sentence), again);
    this.speak(sentence);
  }

  entry(entry) {
    this[`on_${entry.kind}`]?.(entry);
    this.finish();
  }

  on_message(message) {
    if (message.role === "user") {
      this.mine(message.id, message.client_id, message.text, false);
      return;
    }
    if (message.state === "failed") this.failed(message.id, message.text);
    else if (message.state === "open" || message.state === "resumed") this.think(message.answers);
    else this.whole(message);
  }

  on_heard({ id, client_id, text, command }) {
    if (client_id.startsWith("b-")) return;
    this.mine(id, client_id, text, command);
    if (!command) this.think(id);
  }

  mine(id, client_id, text, command) {
    this.drop(`sent-${client_id}`);
    if (this.items.has(`m${id}`)) return;
    const item = element("li", { class: command ? "mine command" : "mine", "data-id": id }, text);
    this.put(`m${id}`, item);
  }

  // Dots until the first word. Answers come in the order of their questions.
  think(question) {
    if (this.items.has(`think${question}`)) return;
    const dots = element("span", { class: "thinking", role: "img", "aria-label": "Thinking" },
      element("i"), element("i"), element("i"));
    this.put(`think${question}`, element("li", { class: "theirs" }, dots), this.items.get(`m${question}`));
    this.under_way.add(`think${question}`);
  }

  thought(question) {
    this.drop(`think${question}`);
    this.under_way.delete(`think${question}`);
  }

  answer(id, question) {
    let item = this.items.get(`m${id}`);
    if (!item || !item.classList.contains("theirs")) {
      const waiting = question === undefined ? this.list.querySelector("[data-key^=think]") : null;
      const asked = question ?? Number(waiting?.dataset.key.slice(5) || 0);
      item = element("li", { class: "theirs", "data-id": id }, element("div", { class: "words" }));
      this.put(`m${id}`, item, this.items.get(`think${asked}`) || this.items.get(`m${asked}`));
      this.thought(asked);
      this.answers.set(id, "");
    }
    return item;
  }

  on_piece({ id, at, text }) {
    const known = this.answers.get(id) ?? "";
    if (this.items.has(`m${id}`) && !this.under_way.has(`m${id}`)) return; // it is whole already
    if (at > known.length) return; // a gap: the whole answer follows
    this.dropPassing();
    const item = this.answer(id);
    this.under_way.add(`m${id}`);
    item.classList.add("streaming");
    this.answers.set(id, known.slice(0, at) + text);
    this.dirty.add(id);
    if (this.dirty.size === 1) requestAnimationFrame(() => this.paint());
  }

  paint() {
    for (const id of this.dirty) {
      const item = this.items.get(`m${id}`);
      item?.querySelector(".words")?.replaceChildren(markdown(this.answers.get(id) || ""));
    }
    this.dirty.clear();
    this.changed();
  }

  on_answer(answer) {
    this.dropPassing();
    const first = this.under_way.has(`m${answer.id}`) || this.items.has(`think${answer.answers}`);
    this.whole(answer);
    if (first && answer.text) this.speak(answer.text);
  }

  whole({ id, answers: question, text, state, version, vote }) {
    this.thought(question);
    this.under_way.delete(`m${id}`);
    this.dirty.delete(id);
    const item = this.answer(id, question);
    this.answers.set(id, text);
    item.classList.remove("streaming");
    item.querySelector(".words").replaceChildren(markdown(text));
    item.querySelector(".actions")?.remove();
    if (version) item.title = `Answered by ${version}`;
    const actions = element("div", { class: "actions", role: "group", "aria-label": "About this answer" });
    if (text) {
      actions.append(this.action("Copy", COPY, "copy", (button) => this.copy(id, button)));
      actions.append(this.ballot("Good", GOOD, "good", id, vote === 1), this.ballot("Bad", BAD, "bad", id, vote === -1));
      const asked = this.items.get(`m${question}`)?.textContent;
      if (asked) actions.append(this.action("Better", BETTER, "better", () => this.teach(asked)));
    }
    actions.append(this.action("Again", AGAIN, "again", () => this.command(`/again ${id}`)));
    if (state === "cut") actions.prepend(element("span", { class: "aside" }, "Stopped here"));
    item.append(actions);
  }

  action(label, path, kind, press) {
    const button = element("button", { type: "button", class: kind }, icon(path), element("span", {}, label));
    button.addEventListener("click", () => press(button));
    return button;
  }

  // A vote is pressed or not; what stands is what the server says.
  ballot(label, path, kind, id, stands) {
    const button = this.action(label, path, kind, () => this.command(`/vote ${kind} ${id}`));
    button.setAttribute("aria-pressed", String(stands));
    return button;
  }

  on_voted({ id, value, text }) {
    const item = this.items.get(`m${id}`);
    item?.querySelector(".actions .good")?.setAttribute("aria-pressed", String(value === 1));
    item?.querySelector(".actions .bad")?.setAttribute("aria-pressed", String(value === -1));
    this.speak(text);
  }

  async copy(id, button) {
    const words = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(this.answers.get(id) || "");
      words.textContent = "Copied";
    } catch {
      words.textContent = "Could not copy";
    }
    setTimeout(() => { words.textContent = "Copy"; }, 1800);
  }

  failed(id, sentence, question) {
    if (question !== undefined) this.thought(question);
    const item = element("li", { class: "theirs", "data-id": id }, element("p", { class: "failed" }, sentence));
    item.append(element("div", { class: "actions" },
      this.action("Try again", AGAIN, "again", () => this.command("/again"))));
    this.under_way.delete(`m${id}`);
    const waiting = this.list.querySelector("[data-key^=think]");
    this.put(`m${id}`, item, waiting);
    if (waiting) this.thought(Number(waiting.dataset.key.slice(5)));
  }

  on_notice({ key, text, tone, passing, id }) {
    if (id !== null && id !== undefined) {
      this.dropPassing();
      this.failed(id, text);
      this.speak(text);
      return;
    }
    if (this.items.has(`n${key}`)) return;
    this.put(`n${key}`, element("li", { class: `notice ${tone}`, "data-passing": passing }, text));
    this.speak(text);
  }

  dropPassing() {
    for (const item of this.list.querySelectorAll("[data-passing]")) this.drop(item.dataset.key);
  }

  on_card(card) {
    const item = element("li", { class: `card ${card.tone}`, tabindex: "-1", "data-by": card.client_id },
      element("h3", {}, card.title));
    if (card.key === "help") item.append(this.commandList(card.lines));
    else for (const line of card.lines) item.append(element("p", {}, line));
    if (card.bar !== null) {
      const bar = element("progress", { max: "1", value: String(card.bar), "aria-label": card.title });
      item.querySelector("h3").after(bar);
    }
    for (const sample of card.samples) item.append(this.sample(sample, card.key.startsWith("report-")));
    if (card.buttons.length) item.append(this.row(card));
    const before = this.items.get(`c${card.key}`);
    const retitled = before?.querySelector("h3").textContent !== card.title;
    if (retitled) {
      const title = /[.!?…]$/.test(card.title) ? card.title : `${card.title}.`;
      this.speak(`${title} ${card.bar === null ? card.lines.join(" ") : ""}`);
    }
    // What its own message goes on with, or its own button brought about, changes where it stands; else it is news.
    const stays = before && (before.dataset.by === card.client_id || this.pressed.get(card.client_id)?.key === card.key);
    if (!stays) this.drop(`c${card.key}`);
    else if (before.querySelector("progress") && card.bar !== null) {
      this.refresh(before, item);
      return;
    } else item.classList.add("still");
    const focused = stays && before.contains(document.activeElement);
    this.put(`c${card.key}`, item);
    if (focused) (item.querySelector("button") || item).focus();
  }

  // The buttons of a card wait together until what was pressed is done.
  row(card) {
    const row = element("div", { class: "row" });
    for (const { label, command, weight } of card.buttons) {
      const button = element("button", { type: "button", class: `button ${weight}` }, label);
      button.addEventListener("click", () => {
        for (const other of row.children) other.disabled = true;
        this.pressed.set(this.command(command), { row, key: card.key });
      });
      row.append(button);
    }
    return row;
  }

  release(id) {
    for (const button of this.pressed.get(id)?.row.children ?? []) button.disabled = false;
    this.pressed.delete(id);
  }

  // Changes a progress card in place, so that its bar glides and a button in focus stays in focus.
  refresh(before, item) {
    before.querySelector("progress").value = item.querySelector("progress").value;
    before.querySelector("h3").textContent = item.querySelector("h3").textContent;
    before.querySelectorAll("p").forEach((line) => line.remove());
    before.querySelector("progress").after(...item.querySelectorAll("p"));
    const [row, fresh] = [before.querySelector(".row"), item.querySelector(".row")];
    if (row?.textContent === fresh?.textContent) return;
    row?.remove();
    if (fresh) before.append(fresh);
  }

  commandList(lines) {
    const list = element("div", { class: "commands" });
    for (const line of lines) {
      const [usage, help] = line.split(" — ");
      const button = element("button", { type: "button" }, usage);
      button.addEventListener("click", () => this.command(usage.split(" ")[0]));
      list.append(button, element("span", {}, help));
    }
    return list;
  }

  sample({ question, answers }, report) {
    const list = element("dl");
    answers.forEach(([name, answer], at) => {
      list.append(element("dt", {}, name), element("dd", report && at === answers.length - 1 ? { class: "newest-answer" } : {}, answer));
    });
    return element("div", { class: "sample" }, element("p", { class: "sample-question" }, question), list);
  }

  on_removed({ ids, until }) {
    for (const id of ids) {
      this.drop(`m${id}`);
      this.thought(id);
      this.under_way.delete(`m${id}`);
    }
    if (until === null) return;
    for (const item of [...this.list.children]) {
      if (!item.dataset.id || Number(item.dataset.id) <= until) this.drop(item.dataset.key);
    }
    this.under_way.clear();
  }

  on_done({ client_id }) {
    this.release(client_id);
    const item = this.items.get(`sent-${client_id}`);
    if (item) this.drop(`sent-${client_id}`);
    this.dropPassing();
  }

  finish() {
    this.list.querySelector(":scope > .last")?.classList.remove("last");
    const answers = this.list.querySelectorAll(":scope > .theirs");
    answers[answers.length - 1]?.classList.add("last");
    this.changed();
  }
}
