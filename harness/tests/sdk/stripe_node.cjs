// The official Node client of Stripe, unchanged, against the vendor that firedrill serves.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const stripe = require('stripe');
const { arm, ask, disarm, receiver, run, vendor } = require('./common.cjs');

const Stripe = stripe.Stripe ?? stripe;
const { url, credentials } = vendor('billing');
const at = new URL(url);

const client = (key = credentials.api_key, more = {}) =>
  new Stripe(key, {
    protocol: 'http',
    host: at.hostname,
    port: Number(at.port),
    maxNetworkRetries: 0,
    telemetry: false,
    ...more,
  });

async function a_customer_is_created_read_updated_and_deleted() {
  const { customers } = client();
  const made = await customers.create({ name: 'Zoë', metadata: { deal_id: '1' } });
  assert.match(made.id, /^cus_/);
  assert.equal((await customers.retrieve(made.id)).name, 'Zoë');
  const changed = await customers.update(made.id, { metadata: { deal_id: '', note: 'a & b' } });
  assert.deepEqual({ ...changed.metadata }, { note: 'a & b' });
  assert.equal((await customers.del(made.id)).deleted, true);
  assert.equal((await customers.retrieve(made.id)).deleted, true);
}

async function an_invoice_is_made_of_items_and_finalized() {
  const api = client();
  const customer = await api.customers.create({ name: 'Ann' });
  const invoice = await api.invoices.create({
    customer: customer.id,
    collection_method: 'send_invoice',
    days_until_due: 30,
    currency: 'eur',
  });
  for (const amount of [1250, 750]) {
    await api.invoiceItems.create({ customer: customer.id, invoice: invoice.id, amount, currency: 'eur' });
  }
  const final = await api.invoices.finalizeInvoice(invoice.id);
  assert.deepEqual([final.status, final.total, final.lines.data.length], ['open', 2000, 2]);
  const paid = await api.invoices.pay(invoice.id, { paid_out_of_band: true });
  assert.deepEqual([paid.status, paid.amount_remaining], ['paid', 0]);
}

async function lists_page_by_themselves() {
  const { customers } = client();
  const email = `${randomUUID()}@example.com`;
  const made = [];
  for (let n = 0; n < 23; n += 1) made.push((await customers.create({ email })).id);
  const listed = [];
  for await (const customer of customers.list({ email, limit: 5 })) listed.push(customer.id);
  assert.deepEqual(listed, made.reverse());
}

async function a_search_finds_and_pages() {
  const { customers } = client();
  const mark = randomUUID();
  const made = new Set();
  for (let n = 0; n < 12; n += 1) made.add((await customers.create({ name: 'Bob', metadata: { mark } })).id);
  const found = new Set();
  for await (const customer of customers.search({ query: `metadata['mark']:'${mark}'`, limit: 5 })) {
    found.add(customer.id);
  }
  assert.deepEqual(found, made);
}

async function a_replayed_key_gives_the_first_answer() {
  const { customers } = client();
  const key = { idempotencyKey: randomUUID() };
  const first = await customers.create({ name: 'Ann' }, key);
  const again = await customers.create({ name: 'Ann' }, key);
  assert.equal(again.id, first.id);
  assert.equal(again.lastResponse.headers['idempotent-replayed'], 'true');
  await assert.rejects(customers.create({ name: 'Bob' }, key), Stripe.errors.StripeIdempotencyError);
}

async function errors_are_of_their_classes() {
  const { customers, invoices } = client();
  await assert.rejects(customers.retrieve('cus_none'), (error) => {
    assert.ok(error instanceof Stripe.errors.StripeInvalidRequestError);
    assert.deepEqual([error.statusCode, error.code], [404, 'resource_missing']);
    assert.match(error.requestId, /^req_/);
    return true;
  });
  await assert.rejects(customers.create({ nmae: 'x' }), { code: 'parameter_unknown', param: 'nmae' });
  await assert.rejects(invoices.create({}), { code: 'parameter_missing', param: 'customer' });
  await assert.rejects(client('sk_test_wrong').customers.list(), Stripe.errors.StripeAuthenticationError);
  for (const [kind, error] of [
    ['rate_limited', Stripe.errors.StripeRateLimitError],
    ['forbidden', Stripe.errors.StripePermissionError],
    ['server_error', Stripe.errors.StripeAPIError],
    // The client has no class of its own for a 409.
    ['idempotency_in_use', Stripe.errors.StripeAPIError],
  ]) {
    await arm('billing GET /v1/customers', { error: { kind } });
    await assert.rejects(customers.list(), error, kind);
    await disarm();
  }
  await arm('billing', { close: 'before_applied' });
  await assert.rejects(customers.list(), Stripe.errors.StripeConnectionError);
}

async function a_lost_answer_is_retried_under_one_key() {
  const mark = randomUUID();
  await arm('billing POST /v1/customers', { reset: 'after_applied' }, { calls: '1' });
  const { customers } = client(undefined, { maxNetworkRetries: 2 });
  const made = await customers.create({ metadata: { mark } });
  const found = await customers.search({ query: `metadata['mark']:'${mark}'` });
  assert.deepEqual(found.data.map((c) => c.id), [made.id]);
}

async function webhooks_verify_with_the_clients_own_function() {
  const { url: target, next } = await receiver();
  const api = client();
  await ask('PUT', '/vendors/billing/webhooks', { url: target });
  const made = await api.customers.create({ name: 'Zoë 🍮' });
  const { headers, body } = await next();
  const signature = headers['stripe-signature'];
  const event = api.webhooks.constructEvent(body, signature, credentials.webhook_secret);
  assert.deepEqual([event.type, event.data.object.id], ['customer.created', made.id]);
  const bad = Stripe.errors.StripeSignatureVerificationError;
  assert.throws(() => api.webhooks.constructEvent(`${body} `, signature, credentials.webhook_secret), bad);
  assert.throws(() => api.webhooks.constructEvent(body, signature, 'whsec_other'), bad);
  await arm('webhook billing', { signature: 'old_timestamp' });
  await api.customers.create({ name: 'Ann' });
  const old = await next();
  assert.throws(
    () => api.webhooks.constructEvent(old.body, old.headers['stripe-signature'], credentials.webhook_secret),
    bad,
  );
  await ask('DELETE', '/vendors/billing/webhooks');
}

run([
  a_customer_is_created_read_updated_and_deleted,
  an_invoice_is_made_of_items_and_finalized,
  lists_page_by_themselves,
  a_search_finds_and_pages,
  a_replayed_key_gives_the_first_answer,
  errors_are_of_their_classes,
  a_lost_answer_is_retried_under_one_key,
  webhooks_verify_with_the_clients_own_function,
]);
