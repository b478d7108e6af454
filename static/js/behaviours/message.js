// What script adds to a message: its time by the reader's own clock, and its copy button.
const TOLD = 2000; // ms that «Copied» stays

export function attach(message) {
  const text = message.querySelector(".message-text");
  const button = message.querySelector(".message-meta button");
  button.addEventListener("click", () => copy(button, wordsOf(text)));
  showLocal(message.querySelector("time"));
}

/** The hour today, the day with it before: by the reader's own clock and calendar. */
function showLocal(time) {
  const moment = new Date(time.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  const language = document.documentElement.lang;
  const isToday = moment.toDateString() === new Date().toDateString();
  const isThisYear = moment.getFullYear() === new Date().getFullYear();
  const day = { day: "numeric", month: "short", ...(isThisYear ? {} : { year: "numeric" }) };
  const hour = { hour: "numeric", minute: "2-digit" };
  time.textContent = new Intl.DateTimeFormat(language, isToday ? hour : { ...day, ...hour }).format(moment);
  time.title = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "medium" }).format(moment);
}

/** What one would have typed: no marks, buttons or hosts, but the lists' bullets and numbers. */
function wordsOf(text) {
  if (!text.matches(".prose")) return text.textContent;
  const copied = text.cloneNode(true);
  for (const extra of copied.querySelectorAll(".source-mark, .link-host, .passage, button")) extra.remove();
  for (const item of copied.querySelectorAll("li")) item.prepend(bullet(item));
  text.after(copied); // innerText knows lines only of what is laid out
  const words = copied.innerText;
  copied.remove();
  return words.trim();
}

function bullet(item) {
  const list = item.parentElement;
  return list.tagName === "OL" ? `${(list.start || 1) + [...list.children].indexOf(item)}. ` : "• ";
}

/** Copies `text` and tells so on the button and to the ear. */
export async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyOldWay(text); // no clipboard on plain http from another machine
  }
  const { copied } = JSON.parse(document.getElementById("log").dataset.words);
  const before = button.textContent;
  if (before === copied) return;
  button.textContent = copied;
  document.getElementById("announcer").textContent = copied;
  setTimeout(() => {
    button.textContent = before;
    document.getElementById("announcer").textContent = "";
  }, TOLD);
}

function copyOldWay(text) {
  const focused = document.activeElement;
  const box = Object.assign(document.createElement("textarea"), { value: text, className: "visually-hidden" });
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
  focused?.focus();
}
