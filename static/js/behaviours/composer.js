// The box one writes in: Enter sends, the text is kept until the server has it, its length is told near the limit.
// Sending itself belongs to `conversation`, which takes the event `chat:send`; when nobody does, the form is sent.
const TURNS_INTO_STOP = 500; // ms after sending, so that a double click on Send can't stop the answer
const COUNTED_FROM = 0.8; // of the limit
const LARGE = 100_000; // characters from which a browser takes minutes to find a text's direction
const LONG_PASTE = 5_000; // characters that go into the box by ourselves: Chromium takes 40 s for 10,000 lines
const MOST_LINES = 20_000; // beyond these it stands still however they came

export function attach(form) {
  const box = form.elements.message;
  const words = JSON.parse(document.getElementById("log").dataset.words);
  const composer = {
    form,
    box,
    words,
    limit: Number(form.dataset.limit),
    name: "", // of the message in the box, once it was sent: the same text again is the same message
    sentAt: -Infinity,
    waitUntil: 0,
    open: 0,
  };
  form.noValidate = true; // we tell it ourselves
  restoreDraft(composer);
  listen(composer);
  fit(box);
  count(composer);
}

function listen(composer) {
  const { form, box } = composer;
  box.addEventListener("input", () => typed(composer));
  box.addEventListener("beforeinput", (event) => pasted(composer, event));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!event.repeat) send(composer);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(composer);
  });
  document.getElementById("suggestions")?.addEventListener("submit", (event) => {
    event.preventDefault();
    send(composer, event.submitter.value);
  });
  document.addEventListener("chat:accepted", (event) => accepted(composer, event.detail));
  document.addEventListener("chat:refused", (event) => refused(composer, event.detail));
  document.addEventListener("chat:open", (event) => showButtons(composer, event.detail.open));
  if (document.getElementById("stop").hidden === false) composer.open = 1;
  showButtons(composer, composer.open);
}

function pasted(composer, event) {
  const { box } = composer;
  const text = event.data ?? "";
  setDirection(box, text.length + box.value.length);
  if (text.length < LONG_PASTE) return;
  event.preventDefault();
  if (text.split("\n").length > MOST_LINES) return tooLong(composer);
  box.setRangeText(text.replaceAll(/\r\n?/g, "\n"), box.selectionStart, box.selectionEnd, "end");
  typed(composer);
}

function setDirection(box, size) {
  if (size > LARGE) box.removeAttribute("dir");
  else box.dir = "auto";
}

function typed(composer) {
  composer.name = "";
  setDirection(composer.box, composer.box.value.length);
  saveDraft(composer, composer.box.value);
  fit(composer.box);
  if (!composer.waitUntil) hideProblem(composer);
  count(composer);
  showButtons(composer, composer.open);
}

function send(composer, chosen) {
  const { box, words, limit } = composer;
  const text = chosen ?? box.value;
  if (!text.trim()) {
    const isSecondPress = performance.now() - composer.sentAt < TURNS_INTO_STOP * 2;
    if (!isSecondPress) showProblem(composer, { title: words.empty });
    return box.focus();
  }
  if (length(text.trim()) > limit) return tooLong(composer);
  if (composer.waitUntil > performance.now()) return box.focus();
  const name = (chosen === undefined && composer.name) || newName();
  if (!ask(composer, text, name)) return;
  composer.sentAt = performance.now();
  hideProblem(composer);
  saveDraft(composer, text, name);
  if (chosen === undefined) empty(composer);
  document.getElementById("suggestions")?.remove();
  if (chosen === undefined || matchMedia("(pointer: fine)").matches) box.focus();
}

function tooLong(composer) {
  const { limit, words } = composer;
  showProblem(composer, { title: words.overTitle, detail: words.overDetail.replace("{count}", number(limit)) });
}

/** Hands the message on; false when it has to stay in the box. */
function ask({ form }, text, name) {
  const detail = { text, name, session: form.elements.session_id.value, taken: false };
  const isFree = form.dispatchEvent(new CustomEvent("chat:send", { bubbles: true, cancelable: true, detail }));
  if (!isFree) return detail.taken;
  form.elements.message.value = text;
  form.submit(); // nobody streams here: the plain way
  return false;
}

function empty(composer) {
  composer.name = "";
  composer.box.value = "";
  fit(composer.box);
  count(composer);
}

function accepted(composer, { session, name }) {
  const draft = readDraft(composer);
  forgetDraft(composer);
  for (const field of document.querySelectorAll("input[name=session_id]")) field.value = session;
  if (draft && draft.name !== name) saveDraft(composer, draft.text, draft.name); // written since, or sent after it
}

/** The text comes back, before what was typed in the meantime, and the reason stands beside it. */
function refused(composer, { text, name, problem }) {
  const { box } = composer;
  if (text) {
    composer.name = box.value ? "" : name;
    box.value = box.value ? `${text}\n\n${box.value}` : text;
    saveDraft(composer, box.value, composer.name);
    fit(box);
    count(composer);
  }
  showProblem(composer, problem);
  showButtons(composer, composer.open);
  if (problem.retryAfter) countDown(composer, problem.retryAfter);
}

function showProblem(composer, { title, detail = "" }) {
  const notice = document.getElementById("problem");
  const [head, body] = notice.querySelectorAll("strong, span");
  head.textContent = title;
  body.textContent = detail === title ? "" : detail;
  notice.hidden = false;
  markWrong(composer);
  composer.box.focus();
}

function hideProblem(composer) {
  document.getElementById("problem").hidden = true;
  composer.box.removeAttribute("aria-invalid");
  composer.form.classList.remove("is-wrong");
}

/** Tells the wait second by second to the eye; the ear has heard it once. */
function countDown(composer, seconds) {
  const place = document.querySelector("#problem .notice-wait");
  composer.waitUntil = performance.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((composer.waitUntil - performance.now()) / 1000);
    if (left > 0) {
      const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      place.textContent = composer.words.wait.replace("{time}", time);
      return;
    }
    clearInterval(timer);
    composer.waitUntil = 0;
    place.textContent = "";
    hideProblem(composer);
  };
  const timer = setInterval(tick, 1000);
  tick();
}

/** While an answer is under way and nothing is typed, Send turns into Stop; with text in the box both are there. */
function showButtons(composer, open) {
  const isNew = open > composer.open;
  composer.open = open;
  const show = () => {
    const isAnswering = composer.open > 0;
    document.getElementById("stop").hidden = !isAnswering;
    document.getElementById("send").hidden = isAnswering && !composer.box.value;
  };
  if (isNew) setTimeout(show, TURNS_INTO_STOP);
  else if (!open || performance.now() - composer.sentAt > TURNS_INTO_STOP) show();
}

function fit(box) {
  if (CSS.supports("field-sizing", "content")) return;
  box.style.setProperty("block-size", "auto");
  box.style.setProperty("block-size", `${box.scrollHeight}px`);
}

function count({ box, form, limit, words }) {
  const place = document.getElementById("count");
  const used = length(box.value.trim());
  const isOver = used > limit;
  const word = isOver ? words.over : words.left;
  const wasOver = place.classList.contains("is-over");
  place.textContent = used < limit * COUNTED_FROM ? "" : word.replace("{count}", number(Math.abs(limit - used)));
  place.classList.toggle("is-over", isOver);
  if (isOver) markWrong({ box, form });
  if (isOver && !wasOver) document.getElementById("announcer").textContent = place.textContent;
}

function markWrong({ box, form }) {
  box.setAttribute("aria-invalid", "true");
  form.classList.add("is-wrong");
}

/** Characters as the server counts them: code points. A box has \n alone at its line ends already. */
function length(text) {
  let pairs = 0;
  for (let i = 0; i < text.length; i += 1) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) pairs += 1;
  }
  return text.length - pairs;
}

function number(value) {
  return new Intl.NumberFormat(document.documentElement.lang).format(value);
}

/** Not crypto.randomUUID: plain http from another machine lacks it. */
function newName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The draft: unsent text of this tab, per conversation, with the message's name once it was sent.

function draftKey({ form }) {
  return `draft:${form.dataset.slug}:${form.elements.session_id.value}`;
}

function readDraft(composer) {
  try {
    return JSON.parse(sessionStorage.getItem(draftKey(composer)));
  } catch {
    return null;
  }
}

function saveDraft(composer, text, name = "") {
  try {
    if (text && text.length <= LARGE) sessionStorage.setItem(draftKey(composer), JSON.stringify({ text, name }));
    else sessionStorage.removeItem(draftKey(composer));
  } catch {
    sessionStorage.removeItem(draftKey(composer)); // no room: the text is in the box, an old draft would be wrong
  }
}

function forgetDraft(composer) {
  saveDraft(composer, "");
}

/** A message that was sent but not acknowledged before the page went away is dropped when the page shows it. */
function restoreDraft(composer) {
  const draft = readDraft(composer);
  if (!draft) return;
  const asked = [...document.querySelectorAll(".message-user .message-text")].at(-1)?.textContent;
  if (draft.name && asked === draft.text.trim()) return forgetDraft(composer);
  if (composer.box.value && composer.box.value !== draft.text) return; // the server's copy of a refused form
  composer.box.value = draft.text;
  composer.name = draft.name;
}
