// Won HubSpot deals become Stripe invoices: a job for cron.
//
// Each run asks HubSpot for the deals that changed since the last one, bills those that are won, and
// remembers how far it came. A run that fails ends with exit code 1 and remembers nothing; the next
// run does the same deals again, and Stripe recognises what it has seen by the idempotency key.

const fs = require('node:fs');
const path = require('node:path');
const hubspot = require('@hubspot/api-client');
const stripe = require('stripe');

const Stripe = stripe.Stripe ?? stripe;
const { env } = process;
const cursorFile = path.join(env.STATE_DIR, 'cursor');

// https://docs.stripe.com/currencies#zero-decimal
const ZERO_DECIMAL = 'BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF'.split(' ');
const PROPERTIES = [
  'amount', 'billing_email', 'billing_name', 'deal_currency_code', 'dealname', 'dealstage', 'hs_lastmodifieddate',
];

async function hubspotDeals() {
  const oauth = new hubspot.Client({ basePath: env.HUBSPOT_URL }).oauth.tokensApi;
  const token = await oauth.create(
    'refresh_token', undefined, undefined,
    env.HUBSPOT_CLIENT_ID, env.HUBSPOT_CLIENT_SECRET, env.HUBSPOT_REFRESH_TOKEN,
  );
  return new hubspot.Client({ accessToken: token.accessToken, basePath: env.HUBSPOT_URL }).crm.deals;
}

function stripeClient() {
  const url = new URL(env.STRIPE_URL);
  return new Stripe(env.STRIPE_API_KEY, {
    protocol: url.protocol.replace(':', ''),
    host: url.hostname,
    port: Number(url.port),
    telemetry: false,
  });
}

// The won deals that changed after `cursor`, oldest first. More than a page is left to the next run.
async function wonSince(deals, cursor) {
  const page = await deals.searchApi.doSearch({
    filterGroups: [{
      filters: [
        { propertyName: 'dealstage', operator: 'EQ', value: 'closedwon' },
        { propertyName: 'hs_lastmodifieddate', operator: 'GT', value: cursor },
      ],
    }],
    sorts: ['hs_lastmodifieddate'],
    properties: PROPERTIES,
    limit: 100,
  });
  return page.results;
}

async function bill(billing, deal) {
  const { amount, billing_email, billing_name, deal_currency_code, dealname } = deal.properties;
  const currency = deal_currency_code.toLowerCase();
  const unit = ZERO_DECIMAL.includes(deal_currency_code) ? 1 : 100;
  const once = (step) => ({ idempotencyKey: `deal-${deal.id}-${step}` });

  const customer = await billing.customers.create(
    { email: billing_email, name: billing_name, metadata: { deal_id: deal.id } },
    once('customer'),
  );
  const invoice = await billing.invoices.create(
    {
      customer: customer.id,
      currency,
      collection_method: 'send_invoice',
      days_until_due: 30,
      metadata: { deal_id: deal.id },
    },
    once('invoice'),
  );
  await billing.invoiceItems.create(
    {
      customer: customer.id,
      invoice: invoice.id,
      amount: Math.round(Number(amount) * unit),
      currency,
      description: dealname,
    },
    once('item'),
  );
  await billing.invoices.finalizeInvoice(invoice.id, {}, once('finalize'));
  console.log(`deal ${deal.id} is billed by invoice ${invoice.id}`);
}

async function main() {
  const cursor = fs.existsSync(cursorFile) ? fs.readFileSync(cursorFile, 'utf8') : '0';
  const deals = await wonSince(await hubspotDeals(), cursor);
  const billing = stripeClient();
  for (const deal of deals) {
    await bill(billing, deal);
  }
  if (deals.length > 0) {
    const last = Date.parse(deals.at(-1).properties.hs_lastmodifieddate);
    fs.writeFileSync(cursorFile, String(last));
  }
}

main().catch((error) => {
  console.error(`the sync failed: ${error.message}`);
  process.exitCode = 1;
});
