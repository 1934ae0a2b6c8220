// The terminal gets the keys from the start, and again when the window does.
"use strict";

function focusTerminal() {
  const keys = document.querySelector(".xterm-helper-textarea");
  if (keys) keys.focus();
  return Boolean(keys);
}

new MutationObserver((_, observer) => {
  if (focusTerminal()) observer.disconnect();
}).observe(document, { childList: true, subtree: true });
window.addEventListener("focus", focusTerminal);
