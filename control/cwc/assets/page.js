// Loads the page again when something changed, unless a form is being filled in.
"use strict";
const busy = () =>
  [...document.querySelectorAll("textarea, input[type=file]")].some((field) => field.value !== "");
let waiting = false;
const again = () => {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    if (busy()) return;
    location.replace("/");
  }, 300);
};
const news = new EventSource("/v1/license/events");
for (const kind of ["state", "event", "missed"]) news.addEventListener(kind, again);
