// The official Node client of HubSpot, unchanged, against the vendor that firedrill serves.

const assert = require('node:assert/strict');
const hubspot = require('@hubspot/api-client');
const { arm, ask, disarm, receiver, run, vendor } = require('./common.cjs');

const { url, credentials } = vendor('crm');

const tokens = (changed = {}) => {
  const known = { ...credentials, ...changed };
  return new hubspot.Client({ basePath: url }).oauth.tokensApi.create(
    'refresh_token',
    undefined,
    undefined,
    known.client_id,
    known.client_secret,
    known.refresh_token,
  );
};

async function deals(accessToken) {
  const token = accessToken ?? (await tokens()).accessToken;
  return new hubspot.Client({ accessToken: token, basePath: url, numberOfApiCallRetries: 0 }).crm.deals;
}

async function a_refresh_token_gives_an_access_token_until_it_expires() {
  const given = await tokens();
  assert.deepEqual([given.tokenType, given.expiresIn], ['bearer', 1800]);
  const { basicApi } = await deals(given.accessToken);
  assert.equal((await basicApi.getPage(1)).results.length, 1);
  await ask('POST', '/time/advance', { by: '31m' });
  await assert.rejects(basicApi.getPage(1), { code: 401 });
  assert.equal((await (await deals()).basicApi.getPage(1)).results.length, 1);
}

async function a_bad_refresh_token_is_refused() {
  await assert.rejects(tokens({ refresh_token: 'na1-none' }), (error) => {
    assert.equal(error.code, 400);
    assert.equal(error.body.status, 'BAD_REFRESH_TOKEN');
    return true;
  });
}

async function a_deal_is_created_read_updated_and_archived() {
  const { basicApi } = await deals();
  const made = await basicApi.create({ properties: { dealname: 'Ünïcode', amount: '12.30' }, associations: [] });
  const read = await basicApi.getById(made.id, ['dealname', 'amount']);
  assert.deepEqual([read.properties.dealname, read.properties.amount], ['Ünïcode', '12.30']);
  assert.ok(read.createdAt instanceof Date && read.createdAt <= read.updatedAt);
  await basicApi.update(made.id, { properties: { dealstage: 'closedwon' } });
  assert.equal((await basicApi.getById(made.id, ['dealstage'])).properties.dealstage, 'closedwon');
  await basicApi.archive(made.id);
  await assert.rejects(basicApi.getById(made.id), { code: 404 });
}

async function get_all_pages_by_itself() {
  const ids = (await (await deals()).getAll(100, undefined, ['dealname'])).map((d) => d.id);
  assert.ok(ids.length >= 230 && new Set(ids).size === ids.length, String(ids.length));
  const { records } = await ask('GET', '/ledgers/crm/deals');
  assert.deepEqual(ids.sort(), records.map((d) => d.id).sort());
}

async function a_search_finds_sorts_and_pages() {
  const { searchApi } = await deals();
  const found = [];
  let after;
  let total;
  do {
    const page = await searchApi.doSearch({
      filterGroups: [
        { filters: [{ propertyName: 'deal_currency_code', operator: 'IN', values: ['USD', 'EUR'] }] },
      ],
      sorts: ['createdate'],
      properties: ['deal_currency_code'],
      limit: 100,
      after,
    });
    found.push(...page.results);
    after = page.paging?.next?.after;
    total = page.total;
  } while (after);
  assert.ok(found.length === total && total > 100, `${found.length} of ${total}`);
  assert.deepEqual([...new Set(found.map((d) => d.properties.deal_currency_code))].sort(), ['EUR', 'USD']);
}

async function a_batch_is_read() {
  const api = await deals();
  const ids = (await api.basicApi.getPage(3)).results.map((d) => d.id);
  const batch = await api.batchApi.read({
    inputs: ids.map((id) => ({ id })),
    properties: ['dealname'],
    propertiesWithHistory: [],
  });
  assert.deepEqual(batch.results.map((d) => d.id).sort(), ids.sort());
  assert.equal(batch.status, 'COMPLETE');
  assert.ok(batch.startedAt <= batch.completedAt);
}

async function errors_are_of_their_classes() {
  const { basicApi } = await deals();
  await assert.rejects(basicApi.getById('1'), (error) => {
    assert.equal(error.code, 404);
    assert.equal(error.body.status ?? JSON.parse(error.body).status, 'error');
    return true;
  });
  await assert.rejects((await deals('none')).basicApi.getPage(), { code: 401 });
  for (const [kind, code] of [['rate_limited', 429], ['forbidden', 403], ['server_error', 500]]) {
    await arm('crm GET /crm/v3/objects/deals', { error: { kind } });
    await assert.rejects(basicApi.getPage(), { code }, kind);
    await disarm();
  }
}

async function webhooks_verify_with_the_clients_own_function() {
  const { url: target, next } = await receiver();
  await ask('PUT', '/vendors/crm/webhooks', { url: target });
  const done = await ask('POST', '/actions', { do: 'crm.deals.close' });
  const closed = done.steps[0].records;
  assert.ok(closed.length > 0);
  // The vendor gathers events: what the checks before this one did may come along, or ahead.
  const speaksOf = (body) => new Set(JSON.parse(body).map((e) => String(e.objectId)));
  let { headers, body } = await next();
  while (!closed.every((id) => speaksOf(body).has(id))) ({ headers, body } = await next());
  await ask('DELETE', '/vendors/crm/webhooks');
  const valid = (changed = {}) =>
    hubspot.Signature.isValid({
      signatureVersion: 'v3',
      method: 'POST',
      signature: headers['x-hubspot-signature-v3'],
      clientSecret: credentials.webhook_secret,
      requestBody: body,
      url: target,
      timestamp: Number(headers['x-hubspot-request-timestamp']),
      ...changed,
    });
  assert.equal(valid(), true);
  assert.equal(valid({ requestBody: `${body} ` }), false);
  assert.equal(valid({ clientSecret: 'other' }), false);
}

run([
  a_bad_refresh_token_is_refused,
  a_deal_is_created_read_updated_and_archived,
  get_all_pages_by_itself,
  a_search_finds_sorts_and_pages,
  a_batch_is_read,
  errors_are_of_their_classes,
  webhooks_verify_with_the_clients_own_function,
  a_refresh_token_gives_an_access_token_until_it_expires,
]);
