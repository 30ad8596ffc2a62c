'use strict';
// The index: rows that hold all words, of the verdict that was chosen.
(() => {
  const rows = [...document.querySelectorAll('tbody tr')];
  const texts = rows.map((r) => r.textContent.toLowerCase());
  const search = document.getElementById('search');
  const nothing = document.querySelector('.nothing');
  const chips = [...document.querySelectorAll('button[data-verdict]')];
  let chosen = null;
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    rows.forEach((row, n) => {
      const fits = (!chosen || row.dataset.verdict === chosen) && words.every((w) => texts[n].includes(w));
      row.hidden = !fits;
      left += fits;
    });
    nothing.hidden = left > 0;
    chips.forEach((c) => c.setAttribute('aria-pressed', c.dataset.verdict === chosen));
  };
  search.addEventListener('input', apply);
  chips.forEach((c) => c.addEventListener('click', () => {
    chosen = chosen === c.dataset.verdict ? null : c.dataset.verdict;
    apply();
  }));
})();
