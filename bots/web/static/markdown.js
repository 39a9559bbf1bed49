// A small, safe part of Markdown as DOM nodes: paragraphs, lists, code, bold, emphasis. Text only ever becomes text
// nodes, so nothing that anybody writes can become markup. Unclosed marks, as they occur while streaming, stay text.

const INLINE = /`([^`\n]+)`|\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*|(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])/g;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function inline(text, into) {
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    into.append(text.slice(from, found.index));
    const [, code, bold, emphasis] = found;
    if (code !== undefined) into.append(element("code", {}, code));
    else if (bold !== undefined) into.append(element("strong", {}, bold));
    else into.append(element("em", {}, emphasis));
    from = found.index + found[0].length;
  }
  into.append(text.slice(from));
  return into;
}

function lines(text, into) {
  text.split("\n").forEach((line, at) => {
    if (at) into.append(element("br"));
    inline(line, into);
  });
  return into;
}

const BULLET = /^\s*[-*•]\s+(.*)$/;
const NUMBER = /^\s*(\d{1,3})[.)]\s+(.*)$/;

export function markdown(text) {
  const page = document.createDocumentFragment();
  let paragraph = [];
  let list = null;
  let fence = null;
  const close = () => {
    if (paragraph.length) page.append(lines(paragraph.join("\n"), element("p")));
    paragraph = [];
    list = null;
  };
  for (const line of text.split("\n")) {
    if (fence !== null) {
      if (line.trim().startsWith("```")) {
        page.append(element("pre", {}, element("code", {}, fence.join("\n"))));
        fence = null;
      } else fence.push(line);
      continue;
    }
    if (line.trim().startsWith("```")) {
      close();
      fence = [];
      continue;
    }
    const bullet = line.match(BULLET);
    const number = line.match(NUMBER);
    if (bullet || number) {
      const kind = bullet ? "UL" : "OL";
      if (!list || list.nodeName !== kind) {
        close();
        list = element(kind.toLowerCase(), number ? { start: number[1] } : {});
        page.append(list);
      }
      list.append(inline(bullet ? bullet[1] : number[2], element("li")));
    } else if (!line.trim()) close();
    else {
      if (list) close();
      paragraph.push(line);
    }
  }
  close();
  if (fence !== null && fence.length) page.append(element("pre", {}, element("code", {}, fence.join("\n"))));
  return page;
}
