'use strict';
// Lanes and marks on a canvas, and the list of all events beside it.
(() => {
  const scene = JSON.parse(document.getElementById('scene').textContent);
  const canvas = document.getElementById('timeline');
  const pen = canvas.getContext('2d');
  const tip = document.getElementById('tip');
  const panel = document.getElementById('details');
  const list = document.getElementById('list');
  const rowsBox = document.getElementById('rows');
  const search = document.getElementById('search');
  const matches = document.getElementById('matches');
  const folded = document.getElementById('folded');
  const ROW = 13, PAD = 7, AXIS = 26, LINE = 24;

  const moments = scene.marks.flatMap((m) => [m.from, m.to]).concat(scene.heals);
  const markOf = new Map();
  scene.marks.forEach((m, n) => m.events.forEach((e) => { if (!markOf.has(e)) markOf.set(e, n); }));
  const next = new Map();
  scene.marks.forEach((m, n) => { if (m.before !== undefined) next.set(m.before, n); });
  const inOrder = scene.marks.map((_, n) => n).sort((a, b) => scene.marks[a].from - scene.marks[b].from || a - b);
  const pins = new Map();
  scene.findings.forEach((f, n) => f.evidence.forEach((e) => {
    const mark = markOf.get(e);
    if (mark !== undefined) pins.set(mark, [...(pins.get(mark) || []), n]);
  }));

  let scale, view = { from: 0, to: 1 }, size = { width: 0, height: 0, left: 0 }, tops = [], colours = {};
  let chosen = null, chosenEvent = null, finding = null, found = null, shownEvents = scene.events.map((_, n) => n);

  const rescale = () => { scale = scaleOf(moments, scene.end, folded.checked); };
  const narrow = () => size.width < 620;
  const x = (time) => size.left + ((scale.place(time) - view.from) / (view.to - view.from)) * (size.width - size.left - 8);
  const timeAt = (px) => scale.time(view.from + ((px - size.left) / (size.width - size.left - 8)) * (view.to - view.from));

  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['ok', 'warn', 'bad', 'note', 'alarm', 'state', 'open', 'window', 'fault', 'ink', 'dim', 'line', 'back', 'pin']) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
  };

  const layout = () => {
    const width = canvas.parentElement.clientWidth;
    size.width = width;
    size.left = width < 620 ? 8 : 130;
    let top = AXIS;
    tops = scene.lanes.map((lane) => {
      const here = top + (width < 620 ? 15 : 0);
      top = here + lane.rows * ROW + PAD * 2;
      return here;
    });
    size.height = top + 4;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(size.height * ratio);
    canvas.style.height = `${size.height}px`;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  };

  const box = (m) => {
    const left = x(m.from), right = Math.max(x(m.to), left + 5);
    return { left, right, top: tops[m.lane] + PAD + m.row * ROW, height: ROW - 3 };
  };

  const axis = () => {
    pen.fillStyle = colours.dim;
    pen.strokeStyle = colours.line;
    pen.textBaseline = 'middle';
    pen.textAlign = 'center';
    const step = narrow() ? 90 : 110;
    for (let px = size.left + step / 2; px < size.width - step / 2 + 1; px += step) {
      pen.beginPath(); pen.moveTo(px + 0.5, AXIS - 6); pen.lineTo(px + 0.5, size.height); pen.stroke();
      // As exact as the distance to the next label asks for.
      const apart = timeAt(px + step / 2) - timeAt(px - step / 2);
      const unit = apart > 7.2e9 ? 60e6 : apart > 2e7 ? 1e6 : 1e3;
      pen.fillText(inWords(Math.round(timeAt(px) / unit) * unit), px, AXIS / 2);
    }
    const heals = x(scene.heals);
    if (heals > size.left && heals < size.width) {
      pen.setLineDash([4, 3]);
      pen.strokeStyle = colours.ok;
      pen.beginPath(); pen.moveTo(heals, AXIS - 6); pen.lineTo(heals, size.height); pen.stroke();
      pen.setLineDash([]);
    }
  };

  const lanes = () => {
    scene.lanes.forEach((lane, n) => {
      const top = tops[n], height = lane.rows * ROW + PAD * 2;
      pen.strokeStyle = colours.line;
      pen.beginPath(); pen.moveTo(0, top + height + 0.5); pen.lineTo(size.width, top + height + 0.5); pen.stroke();
      pen.fillStyle = colours.ink;
      pen.textAlign = 'left';
      pen.textBaseline = 'middle';
      if (narrow()) pen.fillText(lane.name, 8, top - 5);
      else pen.fillText(lane.name, 10, top + height / 2, size.left - 16);
    });
  };

  const isDim = (n) => (found !== null && !scene.marks[n].events.some((e) => found.has(e)) && scene.marks[n].events.length > 0)
    || (finding !== null && !(pins.get(n) || []).includes(finding) && scene.marks[n].events.length > 0);

  const draw = () => {
    pen.clearRect(0, 0, size.width, size.height);
    pen.font = '12px system-ui, sans-serif';
    axis();
    lanes();
    pen.save();
    pen.beginPath(); pen.rect(size.left - 3, 0, size.width - size.left + 3, size.height); pen.clip();
    scene.marks.forEach((m, n) => {
      if (m.before === undefined) return;
      const a = box(scene.marks[m.before]), b = box(m);
      if (b.left < size.left || a.right > size.width) return;
      pen.strokeStyle = colours.dim;
      pen.globalAlpha = isDim(n) ? 0.15 : 0.7;
      pen.beginPath();
      pen.moveTo(a.right, a.top + a.height / 2);
      pen.bezierCurveTo(a.right + 12, a.top + a.height + 6, b.left - 12, b.top + b.height + 6, b.left, b.top + b.height / 2);
      pen.stroke();
    });
    scene.marks.forEach((m, n) => {
      const b = box(m);
      if (b.right < size.left || b.left > size.width) return;
      pen.globalAlpha = isDim(n) ? 0.15 : (m.tone === 'window' || m.tone === 'state' || m.tone === 'open') ? 0.55 : 1;
      pen.fillStyle = colours[m.tone];
      if (m.tone === 'alarm') {
        pen.beginPath(); pen.moveTo(b.left + 5, b.top - 1); pen.lineTo(b.left + 11, b.top + b.height); pen.lineTo(b.left - 1, b.top + b.height); pen.fill();
      } else if (m.tone === 'note' && m.from === m.to) {
        pen.beginPath(); pen.arc(b.left + 2, b.top + b.height / 2, 3.5, 0, 7); pen.fill();
      } else {
        pen.fillRect(b.left, b.top, b.right - b.left, b.height);
      }
      if (m.fault) {
        pen.strokeStyle = colours.fault;
        pen.lineWidth = 2;
        pen.strokeRect(b.left - 1, b.top - 1, b.right - b.left + 2, b.height + 2);
        pen.lineWidth = 1;
      }
      if (n === chosen) {
        pen.strokeStyle = colours.ink;
        pen.lineWidth = 2;
        pen.strokeRect(b.left - 3, b.top - 3, b.right - b.left + 6, b.height + 6);
        pen.lineWidth = 1;
      }
    });
    pen.textAlign = 'center';
    pen.textBaseline = 'middle';
    pen.font = 'bold 10px system-ui, sans-serif';
    let last = { lane: -1, px: -99 };
    for (const n of inOrder) {
      if (!pins.has(n)) continue;
      const m = scene.marks[n], b = box(m), px = b.left + 2;
      pen.globalAlpha = isDim(n) ? 0.2 : 1;
      if (px < size.left || px > size.width || (last.lane === m.lane && Math.abs(last.px - px) < 7)) continue;
      last = { lane: m.lane, px };
      const y = b.top - 5;
      pen.fillStyle = colours.pin;
      pen.beginPath(); pen.arc(px, y, 7, 0, 7); pen.fill();
      pen.fillStyle = colours.back;
      pen.fillText(String(pins.get(n)[0] + 1), px, y + 0.5);
    }
    pen.restore();
    pen.globalAlpha = 1;
  };

  let due = false;
  const redraw = () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; draw(); }); } };

  const hit = (px, py) => {
    let best = null, near = 7;
    scene.marks.forEach((m, n) => {
      const b = box(m);
      if (py < b.top - 3 || py > b.top + b.height + 3) return;
      const away = px < b.left ? b.left - px : px > b.right ? px - b.right : 0;
      const bare = m.events.length === 0;
      if (away < near || (away === near && best !== null && scene.marks[best].events.length === 0 && !bare)) { near = away; best = n; }
    });
    return best;
  };

  // -- the list ------------------------------------------------------------------------------
  const longest = scene.events.reduce((most, e) => Math.max(most, inWords(e.at).length), 0);
  rowsBox.style.setProperty('--digits', longest);
  const fill = () => {
    rowsBox.style.height = `${shownEvents.length * LINE}px`;
    const first = Math.max(0, Math.floor(list.scrollTop / LINE) - 10);
    const last = Math.min(shownEvents.length, first + Math.ceil(list.clientHeight / LINE) + 20);
    const lines = [];
    for (let n = first; n < last; n++) {
      const id = shownEvents[n], e = scene.events[id];
      const line = element('div', { class: `row${id === chosenEvent ? ' chosen' : ''}${e.fault ? ' faulted' : ''}`, 'data-event': id },
        element('time', {}, inWords(e.at)), element('span', { class: 'who' }, e.who),
        element('span', { class: 'what' }, [e.what, e.note, e.fault && `[${e.fault}]`].filter(Boolean).join(' · ')));
      line.style.top = `${n * LINE}px`;
      lines.push(line);
    }
    rowsBox.replaceChildren(...lines);
  };

  const reveal = (id) => {
    const n = shownEvents.indexOf(id);
    if (n >= 0 && (n * LINE < list.scrollTop || (n + 1) * LINE > list.scrollTop + list.clientHeight)) {
      list.scrollTop = Math.max(0, n * LINE - list.clientHeight / 3);
    }
    fill();
  };

  const choose = (mark, event) => {
    chosen = mark;
    const events = mark !== null && scene.marks[mark].events.length ? scene.marks[mark].events : event !== null ? [event] : [];
    chosenEvent = event !== null ? event : events.length ? events[0] : null;
    showDetails(panel, scene, mark, events, mark === null ? undefined : next.get(mark), (m) => { show(m); choose(m, null); });
    if (chosenEvent !== null) reveal(chosenEvent);
    redraw();
  };

  const show = (mark) => {
    const m = scene.marks[mark], place = scale.place(m.from), wide = view.to - view.from;
    if (place < view.from || place > view.to) move(place - wide / 2, wide);
  };

  // -- moving about --------------------------------------------------------------------------
  const move = (from, wide) => {
    const w = Math.min(1, Math.max(1e-7, wide));
    const f = Math.max(0, Math.min(1 - w, from));
    view = { from: f, to: f + w };
    redraw();
  };
  const zoom = (by, px) => {
    const share = px === undefined ? 0.5 : Math.max(0, (px - size.left) / (size.width - size.left - 8));
    const wide = view.to - view.from, fresh = Math.min(1, wide * by);
    move(view.from + share * (wide - fresh), fresh);
  };
  document.getElementById('in').addEventListener('click', () => zoom(0.5));
  document.getElementById('out').addEventListener('click', () => zoom(2));
  document.getElementById('fit').addEventListener('click', () => move(0, 1));
  folded.addEventListener('change', () => { rescale(); move(0, 1); });
  canvas.addEventListener('wheel', (e) => {
    // A plain wheel scrolls the page; with a modifier, or sideways, it is about time.
    if (e.ctrlKey || e.metaKey) { e.preventDefault(); zoom(e.deltaY > 0 ? 1.25 : 0.8, e.offsetX); }
    else if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      e.preventDefault();
      const by = (e.shiftKey && !e.deltaX ? e.deltaY : e.deltaX) / size.width * (view.to - view.from);
      move(view.from + by, view.to - view.from);
    }
  }, { passive: false });

  const fingers = new Map();
  let dragged = 0;
  canvas.addEventListener('pointerdown', (e) => { fingers.set(e.pointerId, e.offsetX); dragged = 0; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener('pointermove', (e) => {
    if (!fingers.has(e.pointerId)) { hover(e); return; }
    const before = [...fingers.values()];
    const by = e.offsetX - fingers.get(e.pointerId);
    fingers.set(e.pointerId, e.offsetX);
    dragged += Math.abs(by);
    if (fingers.size === 2) {
      const now = [...fingers.values()];
      const was = Math.abs(before[0] - before[1]) || 1, is = Math.abs(now[0] - now[1]) || 1;
      zoom(was / is, (now[0] + now[1]) / 2);
    } else if (dragged > 4) {
      move(view.from - by / (size.width - size.left) * (view.to - view.from), view.to - view.from);
    }
  });
  canvas.addEventListener('pointerup', (e) => {
    fingers.delete(e.pointerId);
    if (dragged > 4) return;
    const mark = hit(e.offsetX, e.offsetY);
    if (mark !== null) choose(mark, null);
  });
  canvas.addEventListener('pointercancel', (e) => fingers.delete(e.pointerId));
  canvas.addEventListener('pointerleave', () => { tip.hidden = true; });
  const hover = (e) => {
    const mark = hit(e.offsetX, e.offsetY);
    tip.hidden = mark === null;
    canvas.style.cursor = mark === null ? 'grab' : 'pointer';
    if (mark === null) return;
    const m = scene.marks[mark];
    const lines = [m.text, `${inWords(m.from)}${m.to > m.from ? ` – ${inWords(m.to)} (${inWords(m.to - m.from)})` : ''}`];
    if (m.before !== undefined) lines.push(`${inWords(m.from - scene.marks[m.before].to)} after the attempt before`);
    if (m.fault) lines.push(`fault: ${m.fault}`);
    for (const f of pins.get(mark) || []) lines.push(`proves ${scene.findings[f].rule}`);
    tip.textContent = lines.join('\n');
    tip.style.left = `${Math.max(0, Math.min(e.offsetX + 12, size.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${e.offsetY + 16}px`;
  };
  canvas.addEventListener('keydown', (e) => {
    if (e.key === 'ArrowRight' || e.key === 'ArrowLeft') {
      e.preventDefault();
      const at = chosen === null ? -1 : inOrder.indexOf(chosen);
      const to = inOrder[Math.max(0, Math.min(inOrder.length - 1, at + (e.key === 'ArrowRight' ? 1 : -1)))];
      if (to !== undefined) { choose(to, null); show(to); }
    } else if (e.key === '+' || e.key === '-') zoom(e.key === '+' ? 0.5 : 2);
    else if (e.key === 'Escape') { finding = null; mark(); choose(null, null); }
  });
  list.addEventListener('scroll', fill);
  list.addEventListener('click', (e) => {
    const row = e.target.closest('.row');
    if (!row) return;
    const id = Number(row.dataset.event), m = markOf.get(id);
    if (m !== undefined) show(m);
    choose(m === undefined ? null : m, id);
  });

  // -- search and findings -------------------------------------------------------------------
  let texts = null;
  const seek = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) { found = null; matches.textContent = ''; shownEvents = scene.events.map((_, n) => n); fill(); redraw(); return; }
    texts = texts || scene.events.map((e) => `${e.who} ${e.what} ${e.note || ''} ${e.fault || ''} ${JSON.stringify(e.event)}`.toLowerCase());
    shownEvents = texts.flatMap((t, n) => (words.every((w) => t.includes(w)) ? [n] : []));
    found = new Set(shownEvents);
    matches.textContent = shownEvents.length === 1 ? '1 event' : `${shownEvents.length} events`;
    list.scrollTop = 0;
    fill();
    redraw();
  };
  search.addEventListener('input', seek);

  const cards = [...document.querySelectorAll('.finding')];
  const mark = () => cards.forEach((c, n) => c.classList.toggle('chosen', n === finding));
  const pick = (n) => {
    finding = finding === n ? null : n;
    mark();
    const proofs = finding === null ? [] : scene.findings[n].evidence.filter((e) => markOf.has(e));
    if (proofs.length) {
      const places = proofs.map((e) => scale.place(scene.marks[markOf.get(e)].from));
      const from = Math.min(...places), to = Math.max(...places), room = Math.max((to - from) * 0.2, 0.01);
      move(from - room, to - from + 2 * room);
      choose(markOf.get(proofs[0]), proofs[0]);
    }
    redraw();
  };
  cards.forEach((c) => {
    c.addEventListener('click', () => pick(Number(c.dataset.finding)));
    c.addEventListener('keydown', (e) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); pick(Number(c.dataset.finding)); } });
  });

  const again = () => { layout(); fill(); draw(); };
  addEventListener('resize', again);
  addEventListener('themechange', () => { readColours(); draw(); });
  readColours();
  rescale();
  again();
})();
