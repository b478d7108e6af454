// Draws Markdown piece by piece, as it arrives. The server's own HTML takes its place at the end.
import * as smd from "../vendor/streaming-markdown.js";

const TAGS = new Map([
  [smd.PARAGRAPH, "p"],
  [smd.LINE_BREAK, "br"],
  [smd.RULE, "hr"],
  [smd.BLOCKQUOTE, "blockquote"],
  [smd.ITALIC_AST, "em"],
  [smd.ITALIC_UND, "em"],
  [smd.STRONG_AST, "strong"],
  [smd.STRONG_UND, "strong"],
  [smd.STRIKE, "s"],
  [smd.CODE_INLINE, "code"],
  [smd.CODE_BLOCK, "code"],
  [smd.CODE_FENCE, "code"],
  [smd.LINK, "a"],
  [smd.LIST_UNORDERED, "ul"],
  [smd.LIST_ORDERED, "ol"],
  [smd.LIST_ITEM, "li"],
  [smd.TABLE, "table"],
  [smd.TABLE_ROW, "tr"],
]); // all else, images too, is a span: nothing is loaded from anywhere
const HEADINGS = [smd.HEADING_1, smd.HEADING_2, smd.HEADING_3, smd.HEADING_4, smd.HEADING_5, smd.HEADING_6];
const DEEPEST = 20; // the library keeps 24 levels
const HELD = /\[\d{0,3}\]?$/; // may become a source mark: shown when it is one
const MOST_COLUMNS = 50;
const ALIGNMENTS = new Map([[":-", "left"], [":-:", "center"], ["-:", "right"]]);
// The same in chatbot/chat/markdown.py, which says why.
const ADDRESS = /^(?:https?:\/\/[^\s/\\?#@%]+(?:[/?#].*)?|(?:mailto|tel):[^\s?#].*)$/is;

/** Writes Markdown into `place` piece by piece. What the library can't read is shown as it was written. */
export function createWriter(place) {
  place.replaceChildren();
  const stack = Object.assign([place], { place, line: "", above: "" }); // the elements that are open; two lines of text
  const parser = smd.parser({
    data: stack,
    add_token: openElement,
    end_token: closeElement,
    add_text: addText,
    set_attr: setAttribute,
  });
  let whole = "";
  let held = "";
  let isPlain = false;

  function put(text) {
    if (!text) return;
    if (isPlain) return place.append(text);
    try {
      text.match(/[^\n]*\n|[^\n]+/g).forEach(putLine);
    } catch {
      isPlain = true;
      place.textContent = whole;
      place.classList.add("is-plain");
    }
  }

  function putLine(part) {
    smd.parser_write(parser, part);
    stack.line += part;
    if (part.endsWith("\n")) [stack.above, stack.line] = [stack.line, ""];
  }

  return {
    write(text) {
      whole += text;
      const ready = held + text;
      held = HELD.exec(ready)?.[0] ?? "";
      put(held ? ready.slice(0, -held.length) : ready);
    },
    end() {
      put(held + "\n");
      held = "";
    },
  };
}

function openElement(stack, type) {
  if (stack.length > DEEPEST) throw new RangeError("too deep");
  let parent = stack.at(-1);
  let tag = TAGS.get(type) ?? "span";
  if (type === smd.CODE_BLOCK || type === smd.CODE_FENCE) parent = add(add(parent, "div", "code"), "pre");
  if (HEADINGS.includes(type)) tag = headingTag(stack, HEADINGS.indexOf(type));
  if (type === smd.TABLE) {
    parent = add(parent, "div", "table-scroll");
    parent.tabIndex = 0;
  }
  if (type === smd.TABLE_ROW) parent = rowPlace(stack, parent);
  if (type === smd.TABLE_CELL) return stack.push(addCell(stack, parent));
  stack.push(add(parent, tag));
}

function add(parent, tag, className = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return parent.appendChild(element);
}

/** h1 is the page's, h2 the speaker's: an answer begins at h3 and goes down one step at a time. */
function headingTag(stack, level) {
  const { place } = stack;
  stack.top ??= level;
  const last = [...place.querySelectorAll("h3, h4, h5, h6")].at(-1);
  const next = last ? Number(last.tagName[1]) + 1 : 3;
  return `h${Math.min(3 + Math.max(0, level - stack.top), next, 6)}`;
}

function rowPlace(stack, table) {
  if (!table.tHead) return table.createTHead();
  if (!table.tBodies[0]) alignHead(stack, table.tHead);
  return table.tBodies[0] ?? table.createTBody();
}

/** The line between head and body tells how the columns are aligned. */
function alignHead(stack, head) {
  const marks = stack.above.slice(stack.above.indexOf("|") + 1).split("|");
  stack.aligned = marks.map((mark) => ALIGNMENTS.get(mark.trim().replace(/-+/, "-")));
  [...head.rows[0].cells].forEach((cell, column) => align(cell, stack.aligned[column]));
}

function addCell(stack, row) {
  const isHead = row.parentElement.tagName === "THEAD";
  const column = row.cells.length;
  if (column >= MOST_COLUMNS) throw new RangeError("too wide");
  const cell = add(row, isHead ? "th" : "td");
  if (!isHead) align(cell, stack.aligned[column]);
  return cell;
}

function align(cell, side) {
  if (side) cell.className = `align-${side}`;
}

function closeElement(stack) {
  const element = stack.pop();
  if (element.tagName === "A") closeLink(element);
}

/** `[1]` is a source mark; brackets without an address are brackets; a link says where it goes. */
function closeLink(link) {
  const text = link.textContent;
  if (link.dataset.isLink === undefined) {
    if (/^\d{1,3}$/.test(text)) {
      const mark = Object.assign(document.createElement("span"), { className: "source-mark", textContent: text });
      keepWithWord(link);
      link.replaceWith(mark);
    } else {
      link.replaceWith("[", ...link.childNodes, "]");
    }
  } else if (link.href) {
    const { place, written } = link.dataset;
    if (![place, written].some((said) => bare(said) === bare(text)))
      link.after(Object.assign(document.createElement("span"), { className: "link-host", textContent: ` (${place})` }));
  }
}

/** An address as people write it: without its scheme, its last slash, and big letters. */
function bare(address) {
  return address.trim().toLowerCase().replace(/^(https?:\/\/|mailto:|tel:)/, "").replace(/\/$/, "");
}

/** No line begins with a source mark. */
export function keepWithWord(mark) {
  const before = mark.previousSibling;
  if (before?.nodeType === Node.TEXT_NODE) before.data = before.data.replace(/ $/, "\u00a0");
}

function addText(stack, text) {
  const last = stack.at(-1).lastChild;
  if (last?.nodeType === Node.TEXT_NODE) last.appendData(text);
  else stack.at(-1).append(text);
}

/** The allow-list: an address of a known scheme on a link, the first number of a list. Nothing else. */
function setAttribute(stack, type, value) {
  const element = stack.at(-1);
  if (type === smd.HREF && element.tagName === "A") setAddress(element, value);
  if (type === smd.START && element.tagName === "OL") element.start = Number.parseInt(value, 10) || 1;
}

function setAddress(link, value) {
  link.dataset.isLink = "";
  const written = value.trim().replace(/\s+["'(].*$/s, ""); // a title says something else than the address: left out
  const address = readAddress(written);
  if (!address) return;
  link.href = address.href;
  link.rel = "noopener noreferrer nofollow";
  link.target = "_blank";
  Object.assign(link.dataset, { written, place: address.host || address.pathname });
}

function readAddress(written) {
  try {
    return ADDRESS.test(written) ? new URL(written) : null;
  } catch {
    return null;
  }
}
