'use strict';
// Light or dark: as the system says, until somebody chooses.
(() => {
  const root = document.documentElement;
  const kept = () => { try { return localStorage.getItem('firedrill-theme'); } catch { return null; } };
  const keep = (t) => { try { localStorage.setItem('firedrill-theme', t); } catch { /* a file may have no storage */ } };
  const dark = matchMedia('(prefers-color-scheme: dark)');
  if (kept()) root.dataset.theme = kept();
  document.getElementById('theme').addEventListener('click', () => {
    const now = root.dataset.theme || (dark.matches ? 'dark' : 'light');
    root.dataset.theme = now === 'dark' ? 'light' : 'dark';
    keep(root.dataset.theme);
    dispatchEvent(new Event('themechange'));
  });
  dark.addEventListener('change', () => dispatchEvent(new Event('themechange')));
})();
