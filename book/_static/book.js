// Results that answer one question open and close together.
document.addEventListener(
  "toggle",
  ({ target }) => {
    const question = target.dataset?.question;
    if (question === undefined) return;
    for (const other of document.querySelectorAll(`details[data-question="${question}"]`))
      other.open = target.open;
  },
  true, // the event does not bubble
);

// The theme takes the focus from its buttons; who came with the keyboard goes on from there.
let opener = null;
document.addEventListener(
  "click",
  ({ target }) => (opener = target.closest("button") ?? opener),
  true,
);
document.addEventListener("click", ({ target }) => {
  const menu = target.closest(".dropdown-menu");
  if (menu) menu.parentElement.querySelector(".dropdown-toggle").focus();
  else if (document.activeElement === document.body) target.closest("button")?.focus();
  // a place on this page is seen when the contents no longer lie over it
  if (target.closest("dialog a[href^='#']")) {
    opener = null;
    target.closest("dialog").close();
  }
});
document.addEventListener(
  "close", // of a dialog; the theme then moves what it held
  ({ target }) =>
    setTimeout(() => {
      const at = document.activeElement;
      if (at === document.body || target.contains(at)) opener?.focus({ preventScroll: true });
    }),
  true,
);

// Paper is white.
let theme;
addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => (document.documentElement.dataset.theme = theme));

// What a search has found is told.
addEventListener("DOMContentLoaded", () =>
  document.getElementById("search-results")?.setAttribute("aria-live", "polite"),
);
