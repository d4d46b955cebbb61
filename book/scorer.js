// What Sphinx's search puts first: its own weights, but the glossary before, solutions behind.
var Scorer = {
  score: ([page, , , , score]) =>
    score + (page === "book/glossary" ? 50 : 0) - (page.includes("solutions/") ? 50 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
