// The conversation: sends, follows each open turn to its end, stops, retries.
import { adopt, askedNow, blank, failureOf, fetchMessage, growAnswer, parseHtml } from "../answer.js";
import { followTurn, Refused } from "../turn.js";

const MOST_OPEN = 3; // one answering, two waiting: a browser gives a host six connections

export function attach(log) {
  const chat = { log, words: JSON.parse(log.dataset.words), open: [], sent: Promise.resolve(), tabs: openTabs(log) };
  document.addEventListener("chat:send", (event) => {
    event.preventDefault();
    event.detail.taken = send(chat, event.detail);
  });
  document.getElementById("stop-form").addEventListener("submit", (event) => {
    event.preventDefault();
    stop(chat);
  });
  log.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-retry]")) return;
    event.preventDefault();
    retry(chat, event.target);
  });
  chat.tabs?.addEventListener("message", (event) => joinTab(chat, event.data));
  for (const state of ["online", "offline"]) window.addEventListener(state, () => showConnection(chat));
  window.addEventListener("pageshow", (event) => event.persisted && chat.open.length && location.reload());
  showConnection(chat);
  showOpen(chat);
  followOpen(chat);
}

// Sending

function send(chat, { text, name, session }) {
  if (chat.open.length >= MOST_OPEN) {
    tell("chat:refused", { text: "", problem: { title: chat.words.full, detail: chat.words.fullDetail } });
    return false;
  }
  for (const form of chat.log.querySelectorAll("[data-retry]")) form.remove();
  const question = askedNow(text);
  const entry = begin(chat, question);
  const form = document.getElementById("composer");
  run(chat, entry, {
    send: (signal) => post(form.action, { ...hiddenFields(form), session_id: sessionOf() || session, name, message: text }, signal),
    first: chat.sent,
    accept: (data) => {
      tell("chat:accepted", { session: data.session_id, name });
      adopt(question, data.message_id, data.turn_id);
      chat.tabs?.postMessage({ session: data.session_id, turn: data.turn_id, question: data.message_id });
    },
    refuse: (problem) => {
      question.remove();
      entry.answer.article.remove();
      if (problem.status === 400) renewToken();
      tell("chat:refused", { text, name, problem });
    },
  });
  chat.sent = entry.heard; // the next one is sent when this one has arrived: the order is the order of sending
  return true;
}

function retry(chat, form) {
  const failed = form.closest(".message");
  const fields = Object.fromEntries(new FormData(form));
  const entry = begin(chat, null, failed);
  run(chat, entry, {
    send: (signal) => post(form.action, fields, signal),
    first: chat.sent,
    accept: () => {},
    refuse: (problem) => {
      entry.answer.article.replaceWith(failed);
      tell("chat:refused", { text: "", problem });
    },
  });
  document.getElementById("message").focus();
}

/** The turns that were open when the page was drawn. */
function followOpen(chat) {
  const { openTurn, position } = chat.log.dataset;
  if (openTurn && !chat.log.querySelector(`.message-assistant[data-turn="${CSS.escape(openTurn)}"]`)) {
    const article = blank("blank-answer");
    article.dataset.turn = openTurn;
    chat.log.append(article);
    announce(article);
  }
  for (const article of chat.log.querySelectorAll(".message-assistant[data-status='pending']")) {
    const turn = article.dataset.turn;
    const isShown = turn === openTurn && position !== "";
    const entry = enter(chat, article, turn, isShown ? article.dataset.text : "");
    run(chat, entry, { turn, position: isShown ? position : "", accept() {}, refuse: () => lose(chat, entry) });
  }
}

/** Another tab has sent something in this conversation. */
async function joinTab(chat, { session, turn, question }) {
  if (session !== sessionOf() || chat.log.querySelector(`[data-turn="${CSS.escape(turn)}"]`)) return;
  const entry = begin(chat, null);
  entry.turn = turn;
  entry.answer.article.dataset.turn = turn;
  const asked = await fetchMessage(messageAddress(chat, question));
  if (asked) entry.answer.article.before(asked);
  announce(asked);
  run(chat, entry, { turn, accept() {}, refuse: () => lose(chat, entry) });
}

// One turn on the page: its id, its answer, whether it has text, is being stopped, was heard of (a promise)

function begin(chat, question, replaced) {
  const article = blank("blank-answer");
  if (replaced) replaced.replaceWith(article);
  else chat.log.append(...[question, article].filter(Boolean));
  announce(question, article);
  return enter(chat, article, "");
}

function enter(chat, article, turn, text = "") {
  const entry = { turn, answer: growAnswer(article, text), hasText: text !== "", isStopping: false, patience: new AbortController() };
  entry.heard = new Promise((resolve) => (entry.hear = resolve));
  chat.open.push(entry);
  showOpen(chat);
  return entry;
}

async function run(chat, entry, { send: sendIt, first, turn, position, accept, refuse }) {
  sayState(chat, entry);
  await first;
  const resume = (id) => chat.log.dataset.events.replace("TURN", encodeURIComponent(id));
  const onLost = () => sayLost(chat, entry);
  const onBack = () => sayState(chat, entry);
  try {
    const { signal } = entry.patience;
    for await (const event of followTurn({ send: sendIt, resume, turn, position, onLost, onBack, signal })) {
      entry.hear();
      await take(chat, entry, event, accept);
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const isAccepted = entry.turn !== "";
    leave(chat, entry);
    if (isAccepted && sendIt) lose(chat, entry);
    else refuse(worded(chat, error));
  } finally {
    entry.hear();
    leave(chat, entry);
  }
}

async function take(chat, entry, { event, data }, accept) {
  if (event === "start") {
    entry.turn = data.turn_id;
    entry.answer.article.dataset.turn = data.turn_id;
    accept(data);
    if (entry.isStopping) postStop(chat, entry);
    entry.isLost = false;
  }
  if (event === "delta") {
    entry.hasText = true;
    entry.answer.write(data.text);
  }
  if (event === "done") await finish(chat, entry, data);
  else if (event === "error") fail(chat, entry, data);
  else sayState(chat, entry);
}

function leave(chat, entry) {
  if (!chat.open.includes(entry)) return;
  chat.open.splice(chat.open.indexOf(entry), 1);
  showOpen(chat);
  for (const other of chat.open) sayState(chat, other);
}

// How a turn ends

async function finish(chat, entry, { message_id: id, finish_reason: reason }) {
  entry.answer.end();
  const final = await fetchMessage(messageAddress(chat, id));
  leave(chat, entry);
  const { article } = entry.answer;
  if (!final || isSelected(article)) entry.answer.rest("complete", reason === "stopped" ? chat.words.stopped : "");
  if (!final) return;
  await untilNotSelected(article);
  article.replaceWith(final);
  announce(final);
}

/** The text so far stays; why there is no more, and the way to ask again, stand under it. */
function fail(chat, entry, problem) {
  entry.answer.end();
  entry.answer.rest("failed");
  for (const older of chat.log.querySelectorAll("[data-retry]")) older.remove();
  entry.answer.article.querySelector(".message-foot").before(failureOf(problem, entry.turn));
}

/** The answer exists but can't be followed from here. */
function lose(chat, entry) {
  entry.answer.end();
  entry.answer.rest("interrupted");
  tell("chat:refused", { text: "", problem: { title: chat.words.broken, detail: chat.words.lostDetail } });
}

/** A page that was open for long has a stale token: the next try goes with that of a fresh page. */
async function renewToken() {
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  const fresh = parseHtml(await answer.text()).querySelector("input[name=csrf_token]");
  if (!fresh) return;
  for (const field of document.querySelectorAll("input[name=csrf_token]")) field.value = fresh.value;
}

function worded(chat, { status, title, detail, retryAfter }) {
  if (status === 0) return { title: chat.words.unsentTitle, detail: chat.words.unsentDetail };
  if (!title) return { status, title: chat.words.broken, detail: chat.words.brokenDetail, retryAfter };
  return { status, title, detail, retryAfter };
}

// Stop

async function stop(chat) {
  const entry = chat.open[0];
  if (!entry || entry.isStopping) return;
  entry.isStopping = true;
  sayState(chat, entry);
  document.getElementById("message").focus();
  if (entry.turn) await postStop(chat, entry);
  else if (entry.isLost) entry.patience.abort(); // nobody knows of it yet: the text comes back
}

async function postStop(chat, entry) {
  const form = document.getElementById("stop-form");
  const address = chat.log.dataset.stop.replace("TURN", encodeURIComponent(entry.turn));
  const headers = { Accept: "application/json" };
  const answer = await fetch(address, { method: "POST", headers, body: encoded(hiddenFields(form)) }).catch(() => null);
  if (answer?.ok) return;
  entry.isStopping = false; // it can be pressed again
  sayState(chat, entry);
}

// What the page tells about it

function sayState(chat, entry) {
  const { words } = chat;
  const isFirst = chat.open[0] === entry;
  if (entry.isStopping) entry.answer.say(words.stopping, "stopping");
  else if (entry.hasText || (isFirst && entry.turn)) entry.answer.say(words.answering, "answering");
  else entry.answer.say(isFirst ? words.sending : words.waiting, isFirst ? "sending" : "waiting");
  showBusy(chat);
}

function sayLost(chat, entry) {
  entry.isLost = true;
  entry.answer.say(entry.turn ? chat.words.lost : chat.words.unsent, "lost");
}

function showOpen(chat) {
  tell("chat:open", { open: chat.open.length });
  showBusy(chat);
}

/** Busy while text is coming, so that it is read out once, whole, when it has come. */
function showBusy(chat) {
  chat.log.ariaBusy = chat.open.some((entry) => entry.hasText || entry === chat.open[0]) ? "true" : "false";
}

function showConnection({ words }) {
  const notice = document.getElementById("connection");
  const [head, body] = notice.querySelectorAll("strong, span");
  notice.hidden = navigator.onLine;
  head.textContent = navigator.onLine ? "" : words.offline;
  body.textContent = navigator.onLine ? "" : words.offlineDetail;
}

// Small things

function openTabs(log) {
  return "BroadcastChannel" in window ? new BroadcastChannel(`chat:${log.dataset.events}`) : null;
}

function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

function announce(...elements) {
  for (const element of elements) element?.dispatchEvent(new CustomEvent("page:added", { bubbles: true }));
}

function messageAddress(chat, id) {
  return chat.log.dataset.messageAt.replace("MESSAGE", encodeURIComponent(id));
}

function sessionOf() {
  return document.getElementById("composer").elements.session_id.value;
}

function hiddenFields(form) {
  const fields = [...form.elements].filter((element) => element.type === "hidden");
  return Object.fromEntries(fields.map((field) => [field.name, field.value]));
}

function encoded(fields) {
  return new URLSearchParams(fields);
}

function post(address, fields, signal) {
  return fetch(address, { method: "POST", headers: { Accept: "text/event-stream" }, body: encoded(fields), signal });
}

function isSelected(article) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(article, true);
}

/** Someone copying from the answer keeps the selection. */
function untilNotSelected(article) {
  if (!isSelected(article)) return null;
  return new Promise((resolve) => {
    document.addEventListener("selectionchange", function check() {
      if (isSelected(article)) return;
      document.removeEventListener("selectionchange", check);
      resolve();
    });
  });
}
