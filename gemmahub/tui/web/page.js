// The terminal starts when its fonts are there, gets the keys from the start, and again when the
// window does.
"use strict";

const NARROW = 600; // pixels below which letters are smaller, so that more columns fit
const SMALL = "12";
const FAMILY = "16px 'Roboto Mono'";
const PATIENCE = 3000; // milliseconds that fonts are waited for

// A terminal measures its letters once, and draws with what is loaded by then.
const start = window.onload;
window.onload = async (event) => {
  const terminal = document.getElementById("terminal");
  if (window.innerWidth < NARROW && !new URLSearchParams(location.search).has("fontsize")) {
    terminal.dataset.fontSize = SMALL;
  }
  const fonts = [FAMILY, `bold ${FAMILY}`, `italic ${FAMILY}`].map((font) =>
    document.fonts.load(font, "W\u2500\u2801"));
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
  await Promise.race([Promise.allSettled(fonts), late]);
  start(event);
};

function focusTerminal() {
  const ended = document.body.classList.contains("-closed");
  const keys = document.querySelector(ended ? ".ended a" : ".xterm-helper-textarea");
  if (keys) keys.focus();
  return Boolean(keys);
}

new MutationObserver((_, observer) => {
  if (focusTerminal()) observer.disconnect();
}).observe(document, { childList: true, subtree: true });
document.addEventListener("DOMContentLoaded", () => {
  new MutationObserver(focusTerminal).observe(document.body, { attributeFilter: ["class"] });
});
window.addEventListener("focus", focusTerminal);
document.addEventListener("click", focusTerminal);
