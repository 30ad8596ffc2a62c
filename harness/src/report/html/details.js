'use strict';
// The panel that shows one mark or one event whole.
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'onclick') made.addEventListener('click', value); else made.setAttribute(key, value);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
};

const pretty = (body) => {
  if (typeof body !== 'string') return JSON.stringify(body, null, 2);
  try { return JSON.stringify(JSON.parse(body), null, 2); } catch { return body; }
};

const message = (title, first, headers, body) => element('section', { class: 'message' },
  element('h3', {}, title),
  element('pre', {}, [first, ...(headers || []).map(([n, v]) => `${n}: ${v}`)].join('\n')),
  body ? element('pre', { class: 'body' }, pretty(body)) : null);

const showEvent = (scene, id) => {
  const { at, who, what, note, fault, event } = scene.events[id];
  const parts = [];
  const line = [what, note, fault && `[${fault}]`].filter(Boolean).join(' · ');
  parts.push(element('p', { class: 'line' }, element('b', {}, inWords(at)), ` ${who}: ${line}`));
  if (event.request) {
    const r = event.request;
    parts.push(message('Request', `${r.method} ${r.target}`, r.headers, r.body));
  }
  if (event.response) {
    const r = event.response;
    parts.push(message('Response', `${r.status}`, r.headers, r.body));
  }
  const { drift } = event.fault || event;
  if (drift) parts.push(message('Changed without notice', drift.change, [], drift.patch));
  if (event.record !== undefined && event.kind === 'change') parts.push(element('pre', { class: 'body' }, pretty(event.record)));
  if (event.event && event.event.payload) parts.push(element('pre', { class: 'body' }, pretty(event.event.payload)));
  if (event.kind === 'alert') parts.push(element('pre', { class: 'body' }, pretty(event.body)));
  return element('section', { class: 'event' }, ...parts,
    element('details', {}, element('summary', {}, `event ${id}, as in the trace`), element('pre', {}, JSON.stringify(event, null, 2))));
};

// `go` selects another mark.
const showDetails = (panel, scene, mark, events, after, go) => {
  panel.replaceChildren();
  if (mark !== null) {
    const m = scene.marks[mark];
    const took = m.to > m.from ? `, took ${inWords(m.to - m.from)}` : '';
    panel.append(element('h2', {}, m.text), element('p', { class: 'line' }, `${scene.lanes[m.lane].name} at ${inWords(m.from)}${took}`));
    const steps = [];
    if (m.before !== undefined) {
      const wait = m.from - scene.marks[m.before].to;
      steps.push(element('button', { type: 'button', onclick: () => go(m.before) }, `← attempt before, ${inWords(wait)} earlier`));
    }
    if (after !== undefined) steps.push(element('button', { type: 'button', onclick: () => go(after) }, 'next attempt →'));
    if (steps.length) panel.append(element('p', { class: 'steps' }, ...steps));
    if (m.fault) panel.append(element('p', { class: 'faulted' }, `fault: ${m.fault}`));
  }
  const cited = scene.findings.filter((f) => f.evidence.some((id) => events.includes(id)));
  for (const f of cited) panel.append(element('p', { class: `cited ${f.verdict}` }, `proves ${f.rule}`));
  for (const id of events) panel.append(showEvent(scene, id));
  panel.scrollTop = 0;
};
