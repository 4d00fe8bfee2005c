// Loads the page again when something changed, unless a form is being filled in or a refusal is
// being read.
"use strict";
const busy = () =>
  document.querySelector(".refused") !== null ||
  [...document.querySelectorAll("textarea, input[type=file]")].some((field) => field.value !== "");
let waiting = false;
const again = () => {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    if (!busy()) location.reload();
  }, 300);
};
const news = new EventSource("/v1/license/events");
for (const kind of ["state", "event", "missed"]) news.addEventListener(kind, again);
