// The parts of a conversation as they stand on the page: a question asked, an answer that grows.
import { createWriter } from "./markdown.js";

/** One of the empty parts that the page carries (macros/message.html), of this moment. */
export function blank(id) {
  const part = document.getElementById(id).content.firstElementChild.cloneNode(true);
  const time = part.querySelector("time");
  if (time) time.dateTime = new Date().toISOString();
  return part;
}

/** The question's article, before the server has it. */
export function askedNow(text) {
  const article = blank("blank-question");
  article.querySelector(".message-text").textContent = text;
  return article;
}

/** Now the server has it: under this id. */
export function adopt(article, id, turn) {
  article.id = `message-${id}`;
  article.setAttribute("aria-labelledby", `by-${id}`);
  article.querySelector("h2").id = `by-${id}`;
  Object.assign(article.dataset, { message: id, turn, status: "complete" });
}

/** Why there is no (whole) answer, and the way to ask again. */
export function failureOf(problem, turn) {
  const failure = blank("blank-failure");
  const form = failure.querySelector("form");
  failure.querySelector("p").textContent = problem.detail || problem.title;
  form.setAttribute("action", form.getAttribute("action").replace("TURN", encodeURIComponent(turn)));
  form.elements.name.value = form.elements.name.value.replace("TURN", turn);
  return failure;
}

/** The server's own HTML of a message, or null. */
export async function fetchMessage(address) {
  for (const pause of [300, 1500, 0]) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer?.ok) return parseHtml(await answer.text()).querySelector(".message");
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return null;
}

export function parseHtml(text) {
  const part = document.createElement("template");
  part.innerHTML = text;
  return document.adoptNode(part.content);
}

/**
 * An answer that grows in `article`, after the text that is there already. `write(text)` draws at the next frame, `end()`
 * what is left; `say(text, state)` tells beneath the text what is under way; `rest(status, note)` ends that.
 */
export function growAnswer(article, text = "") {
  const writer = createWriter(article.querySelector(".message-text"));
  let waiting = "";
  let frame = 0;

  function draw() {
    cancelAnimationFrame(frame);
    frame = 0;
    if (waiting) writer.write(waiting);
    waiting = "";
  }

  function write(piece) {
    waiting += piece;
    if (document.hidden) draw();
    else frame ||= requestAnimationFrame(draw);
  }

  function end() {
    draw();
    writer.end();
  }

  function say(words, state) {
    const line = article.querySelector(".message-state");
    if (!line) return;
    if (line.textContent !== words) line.textContent = words;
    line.dataset.state = state;
  }

  function rest(status, note) {
    const line = article.querySelector(".message-state");
    if (line && note) line.replaceWith(Object.assign(document.createElement("span"), { textContent: note }));
    else line?.remove();
    article.querySelector(".message-meta").hidden = false;
    article.dataset.status = status;
    article.ariaBusy = null;
  }

  article.ariaBusy = "true";
  write(text);
  draw();
  return { article, write, end, say, rest };
}
