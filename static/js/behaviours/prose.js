// What script adds to an answer's text: code has a copy button, wide tables are moved by keyboard too, and a source mark
// opens its passage in place, beneath the paragraph that it stands in. Pressed again, or Escape: closed.
import { keepWithWord } from "../markdown.js";
import { copy } from "./message.js";

export function attach(text) {
  for (const code of text.querySelectorAll("pre")) addButton(code);
  for (const table of text.querySelectorAll("table")) frameTable(table);
  for (const mark of text.querySelectorAll("a.source-mark[href^='#source-']")) prepare(mark);
  text.addEventListener("click", (event) => {
    const mark = event.target.closest("a.source-mark[role='button']");
    if (!mark) return;
    event.preventDefault();
    toggle(mark);
  });
  text.addEventListener("keydown", (event) => {
    const mark = event.target.closest("a.source-mark[role='button']");
    if (mark && event.key === " ") {
      event.preventDefault();
      toggle(mark);
    }
    if (event.key === "Escape") close(text, true);
  });
}

function prepare(mark) {
  const passage = document.getElementById(mark.hash.slice(1));
  if (!passage) return;
  const words = wordsOfPage();
  const title = passage.querySelector(".passage-title").textContent;
  keepWithWord(mark);
  mark.setAttribute("role", "button");
  mark.setAttribute("aria-expanded", "false");
  mark.setAttribute("aria-label", words.source.replace("{n}", mark.textContent).replace("{title}", title));
}

function addButton(code) {
  const frame = document.createElement("div");
  frame.className = "code";
  const button = document.getElementById("blank-copy").content.firstElementChild.cloneNode(true);
  code.tabIndex = 0; // long lines are read by keyboard too
  code.role = "group";
  code.ariaLabel = wordsOfPage().code;
  code.replaceWith(frame);
  frame.append(code, button);
  button.addEventListener("click", () => copy(button, code.textContent));
}

function frameTable(table) {
  const frame = table.closest(".table-scroll") ?? document.createElement("div");
  if (!frame.isConnected) {
    frame.className = "table-scroll";
    table.replaceWith(frame);
    frame.append(table);
  }
  frame.tabIndex = 0;
  frame.role = "group";
  frame.ariaLabel = wordsOfPage().table;
}

function wordsOfPage() {
  return JSON.parse(document.getElementById("log").dataset.words);
}

function toggle(mark) {
  const wasOpen = mark.ariaExpanded === "true";
  const text = mark.closest(".message-text");
  close(text);
  if (wasOpen) return;
  const passage = document.getElementById(mark.hash.slice(1)).cloneNode(true);
  passage.removeAttribute("id");
  const block = blockOf(mark, text);
  if (block.matches("li")) block.insertBefore(passage, block.querySelector("ul, ol"));
  else block.after(passage);
  mark.ariaExpanded = "true";
}

function close(text, withFocus = false) {
  text.querySelector(".passage")?.remove();
  const mark = text.querySelector("[aria-expanded='true']");
  if (!mark) return;
  mark.ariaExpanded = "false";
  if (withFocus) mark.focus();
}

/** What the passage follows: the mark's paragraph, its line of a list, the whole of a table. */
function blockOf(mark, text) {
  const line = mark.closest("p, li");
  if (line && text.contains(line) && !mark.closest("table")) return line;
  let block = mark;
  while (block.parentElement !== text) block = block.parentElement;
  return block;
}
