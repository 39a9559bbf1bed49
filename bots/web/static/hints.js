// Command suggestions while a message begins with a slash: arrows choose, Tab or Enter completes, Escape closes.

import { element } from "./markdown.js";

export class Hints {
  constructor(text, list, commands, changed) {
    Object.assign(this, { text, list, commands, changed, chosen: 0, shown: [] });
    text.addEventListener("input", () => this.update());
    text.addEventListener("blur", () => setTimeout(() => this.close(), 150));
  }

  get open() {
    return !this.list.hidden;
  }

  close() {
    this.list.hidden = true;
    this.text.removeAttribute("aria-activedescendant");
  }

  update() {
    const typed = this.text.value.match(/^\/(\w*)$/);
    this.shown = typed ? this.commands().filter(({ name }) => name.startsWith(typed[1].toLowerCase())) : [];
    this.chosen = 0;
    if (this.shown.length) this.draw();
    else this.close();
  }

  draw() {
    this.list.hidden = false;
    this.list.replaceChildren(...this.shown.map(({ usage, help }, at) => {
      const chosen = at === this.chosen;
      const item = element("li", { role: "option", id: `hint-${at}`, "aria-selected": String(chosen) },
        element("b", {}, usage), element("span", {}, help));
      item.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.take(at);
      });
      return item;
    }));
    this.text.setAttribute("aria-activedescendant", `hint-${this.chosen}`);
    this.list.children[this.chosen].scrollIntoView({ block: "nearest" });
  }

  take(at) {
    const { name, usage } = this.shown[at];
    this.text.value = `/${name}${usage.includes(" ") ? " " : ""}`;
    this.close();
    this.changed();
    this.text.focus();
  }

  // Whether the key was ours. Enter on a command that is typed out sends it.
  key(event) {
    if (!this.open) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.chosen = (this.chosen + step + this.shown.length) % this.shown.length;
      this.draw();
    } else if (event.key === "Escape") this.close();
    else if (event.key === "Tab" || event.key === "Enter") {
      if (event.key === "Enter" && this.text.value === `/${this.shown[this.chosen].name}`) return false;
      this.take(this.chosen);
    } else return false;
    event.preventDefault();
    return true;
  }
}
