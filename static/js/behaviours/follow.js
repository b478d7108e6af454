// Where the reader is. The view follows the text while it grows, unless the reader has scrolled up: then a button leads
// down. Earlier messages come in above without moving what is being read.
import { parseHtml } from "../answer.js";

const NEAR = 48; // px from the end that still count as the end

export function attach(log) {
  const button = document.getElementById("follow");
  const page = document.scrollingElement;
  const fromEnd = () => page.scrollHeight - page.clientHeight - page.scrollTop;
  const toEnd = () => page.scrollTo({ top: page.scrollHeight, behavior: "instant" });
  let isFollowing = true;
  let lastTop = page.scrollTop;
  let lastHeight = log.offsetHeight;

  function scrolled() {
    const isUp = page.scrollTop < lastTop - 1;
    lastTop = page.scrollTop;
    if (isUp) isFollowing = fromEnd() < 4;
    else if (fromEnd() < NEAR) isFollowing = true;
    if (isFollowing) button.hidden = true;
  }

  function grown() {
    if (isFollowing) toEnd();
    else if (log.offsetHeight > lastHeight && log.ariaBusy === "true") button.hidden = false;
    lastHeight = log.offsetHeight;
  }

  window.addEventListener("scroll", scrolled, { passive: true });
  button.addEventListener("click", () => {
    isFollowing = true;
    button.hidden = true;
    toEnd();
    document.getElementById("message").focus({ preventScroll: true });
  });
  document.addEventListener("chat:send", () => {
    isFollowing = true;
    requestAnimationFrame(toEnd);
  });

  log.addEventListener("click", (event) => {
    const link = event.target.closest("[data-older]");
    if (!link || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    loadOlder(log, link);
  });

  start();
  const watch = new ResizeObserver(grown);
  watch.observe(log);
  watch.observe(document.querySelector(".dock"));

  /** Opens at the newest words; a reload or a way back stays where the reader was. */
  function start() {
    const [visit] = performance.getEntriesByType("navigation");
    const hash = location.hash.slice(1);
    if (visit?.type !== "navigate" || (hash && hash !== "latest")) isFollowing = fromEnd() < NEAR;
    else if (!log.querySelector(".message")) isFollowing = false;
  }
}

async function loadOlder(log, link) {
  const answer = await fetch(link.dataset.older, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return location.assign(link.href);
  const part = parseHtml(await answer.text());
  part.querySelector("#latest")?.remove();
  const added = [...part.children];
  log.ariaLive = "off"; // what was said long ago is not news
  keepPlace(log.querySelector(".message"), () => link.replaceWith(...added));
  for (const element of added) element.dispatchEvent(new CustomEvent("page:added", { bubbles: true }));
  const next = added.find((element) => element.matches("[data-older]")) ?? added.find((element) => element.matches(".message"));
  if (next && !next.matches("a")) next.tabIndex = -1;
  next?.focus({ preventScroll: true });
  setTimeout(() => (log.ariaLive = "polite"), 1000);
}

/** `change()` happens above `seen`, which stays where it is on the screen. */
function keepPlace(seen, change) {
  const root = document.documentElement;
  root.style.setProperty("overflow-anchor", "none"); // the browser's own way would count twice
  const before = seen.getBoundingClientRect().top;
  const goBack = () => window.scrollBy({ top: seen.getBoundingClientRect().top - before, behavior: "instant" });
  change();
  goBack();
  requestAnimationFrame(() => {
    goBack(); // behaviours have changed what came in
    root.style.removeProperty("overflow-anchor");
  });
}
