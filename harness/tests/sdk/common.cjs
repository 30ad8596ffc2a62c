// What the Node checks share: running them by name, and steering the vendors that are served.

const http = require('node:http');

/** The vendors, as the first line of `firedrill serve --format json` tells. */
const overview = JSON.parse(process.argv[2]);

const vendor = (alias) => overview.vendors[alias];

/** Asks the control API; gives the answer as data. */
async function ask(method, path, body) {
  const answer = await fetch(overview.control + path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

const arm = (on, act, more = {}) => ask('POST', '/faults', { on, do: act, ...more });
const disarm = () => ask('DELETE', '/faults');

/** Takes webhooks; each is { headers, body } with the body as text. */
async function receiver() {
  const taken = [];
  const waiting = [];
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      response.writeHead(204).end();
      const hook = { headers: request.headers, body: Buffer.concat(parts).toString() };
      const next = waiting.shift();
      next ? next(hook) : taken.push(hook);
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const next = () =>
    taken.length ? Promise.resolve(taken.shift()) : new Promise((done) => waiting.push(done));
  return { url: `http://127.0.0.1:${server.address().port}/hooks`, next };
}

/** Runs each check; prints one line each. */
async function run(checks) {
  for (const check of checks) {
    try {
      await check();
      console.log(`ok ${check.name}`);
    } catch (error) {
      console.log(`not ok ${check.name}`);
      console.log(String(error.stack ?? error).replace(/^/gm, '  '));
    } finally {
      await disarm();
    }
  }
  process.exit(0);
}

module.exports = { arm, ask, disarm, receiver, run, vendor };
