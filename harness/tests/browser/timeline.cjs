// Opens the pages in a real browser and uses them as a person would. One line a check: `ok NAME`, or
// `not ok NAME: why`. Arguments: the folder of pages, the page of a failed drill, a page of 10,000
// events, a page of a drill with drift, Chromium.
'use strict';
const path = require('node:path');
const { chromium } = require('playwright-core');

const [folder, failed, large, drifted, browserPath] = process.argv.slice(2);
const url = (page) => `file://${path.resolve(folder, page)}`;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// What is measured is told, and nobody is held to it: machines differ.
const timed = async (what, act) => {
  const from = performance.now();
  const result = await act();
  console.log(`# ${what}: ${Math.round(performance.now() - from)} ms`);
  return result;
};
// Every picture begins with an empty one.
const countDraws = () => {
  window.draws = 0;
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  CanvasRenderingContext2D.prototype.clearRect = function (...all) { window.draws++; return clear.apply(this, all); };
};

const assert = (truth, why) => { if (!truth) throw new Error(why); };

const checks = {
  async the_index_lists_every_drill_and_leads_to_its_page(open) {
    const page = await open('index.html', 1280);
    const rows = await page.locator('tbody tr').count();
    assert(rows >= 2, `${rows} rows`);
    await page.fill('#search', 'there is no such drill');
    assert(await page.locator('tbody tr:visible').count() === 0, 'the search hides nothing');
    assert(await page.locator('.nothing').isVisible(), 'it does not say that nothing matches');
    await page.fill('#search', '');
    await page.click('button[data-verdict=fail]');
    assert(await page.locator('tbody tr:visible .verdict:not(.fail)').count() === 0, 'the filter shows others');
    await page.locator('tbody tr:visible .promise a').first().click();
    await page.waitForSelector('#timeline');
    assert(await page.locator('.top .verdict.fail').count() === 1, 'the page of a failed drill says so');
  },
  async a_finding_leads_to_the_events_that_prove_it(open) {
    const page = await open(failed, 1280);
    await page.locator('.finding').first().click();
    await page.waitForSelector('#details .cited');
    const rule = await page.locator('.finding .rule').first().textContent();
    const cited = (await page.locator('#details .cited').allTextContents()).join(' ');
    assert(cited.includes(rule), `${cited} does not name ${rule}`);
    assert(await page.locator('.row.chosen').count() === 1, 'the list shows no chosen event');
  },
  async a_click_on_a_mark_shows_its_request_and_response(open) {
    const page = await open(failed, 1280);
    await page.locator('#rows .row', { hasText: 'POST /v1/' }).first().scrollIntoViewIfNeeded().catch(() => {});
    await page.fill('#search', 'POST /v1/customers');
    await page.locator('#rows .row', { hasText: 'POST /v1/customers' }).first().click();
    const text = await page.locator('#details').textContent();
    assert(text.includes('Request') && text.includes('POST /v1/customers'), 'there is no request');
    assert(/authorization/i.test(text), 'its header fields are not shown');
    assert(Number(/(\d+) events?/.exec(await page.locator('#matches').textContent())[1]) > 0, 'the search counts nothing');
  },
  async a_changed_message_shows_what_changed_in_it(open) {
    const page = await open(drifted, 1280);
    await page.fill('#search', 'cap_page');
    await page.locator('#rows .row.faulted', { hasText: 'drift cap_page 2' }).first().click();
    const text = await page.locator('#details').textContent();
    for (const part of ['Changed without notice', 'cap_page 2', '"path": "/body/results/2"']) {
      assert(text.includes(part), `there is no ${part}`);
    }
  },
  async arrow_keys_move_and_the_picture_can_be_zoomed(open) {
    const page = await open(failed, 1280);
    const look = () => page.locator('#timeline').screenshot();
    const whole = await look();
    await page.click('#in');
    await page.waitForTimeout(100);
    assert(!(await look()).equals(whole), 'zooming in changes nothing');
    await page.click('#fit');
    await page.locator('#timeline').focus();
    await page.keyboard.press('ArrowRight');
    const first = await page.locator('#details h2').textContent();
    await page.keyboard.press('ArrowRight');
    assert(await page.locator('#details h2').textContent() !== first || await page.locator('.row.chosen').count() === 1, 'arrow keys do not move');
  },
  async it_fits_a_phone_and_both_themes(open) {
    const page = await open(failed, 400);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(overflow <= 0, `the page is ${overflow} px too wide`);
    const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await back();
    await page.click('#theme');
    assert(await back() !== light, 'the theme does not change');
    const index = await open('index.html', 400);
    const wide = await index.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(wide <= 0, `the index is ${wide} px too wide`);
  },
  async ten_thousand_events_are_drawn_without_delay(open) {
    // Not a time: what is done in a frame must not grow with what is not shown, nor with what is asked.
    const page = await timed('load', () => open(large, 1280, countDraws));
    const scene = await page.evaluate(() => JSON.parse(document.getElementById('scene').textContent));
    const events = scene.events.length;
    assert(events >= 10000, `only ${events} events`);
    const lines = page.locator('#rows .row');
    const few = async (when) => assert(await lines.count() < 200, `the list holds ${await lines.count()} lines ${when}`);
    await few('at first');
    await timed('scroll to the end', async () => {
      await page.locator('#list').evaluate((list) => { list.scrollTop = list.scrollHeight; });
      await page.waitForSelector(`#rows .row[data-event="${events - 1}"]`);
    });
    await few('at the end');

    const word = 'finalize';
    const wanted = await page.evaluate((word) => {
      const has = (e) => `${e.who} ${e.what} ${e.note || ''} ${e.fault || ''} ${JSON.stringify(e.event)}`.toLowerCase().includes(word);
      return JSON.parse(document.getElementById('scene').textContent).events.filter(has).length;
    }, word);
    assert(wanted > 10 && wanted < events, `${wanted} of ${events} events speak of ${word}`);
    for (const what of ['first search', 'search again']) {
      await page.fill('#search', '');
      await timed(what, async () => {
        await page.fill('#search', word);
        await page.waitForFunction((n) => document.getElementById('matches').textContent === `${n} events`, wanted);
      });
    }
    await few('of a search');

    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const drawn = await timed('50 zooms', () => page.evaluate(() => new Promise((done) => {
      const before = window.draws;
      const canvas = document.getElementById('timeline');
      for (let n = 0; n < 50; n++) canvas.dispatchEvent(new WheelEvent('wheel', { ctrlKey: true, deltaY: -1, bubbles: true }));
      requestAnimationFrame(() => requestAnimationFrame(() => done(window.draws - before)));
    })));
    assert(drawn >= 1 && drawn <= 2, `50 turns of the wheel in one moment drew ${drawn} pictures`);
  },
};

(async () => {
  const browser = await chromium.launch({ executablePath: browserPath, args: FLAGS });
  for (const [name, check] of Object.entries(checks)) {
    const context = await browser.newContext({ colorScheme: 'light' });
    const wrong = [];
    const open = async (file, width, first) => {
      const page = await context.newPage();
      if (first) await page.addInitScript(first);
      await page.setViewportSize({ width, height: 900 });
      page.on('pageerror', (e) => wrong.push(e.message));
      page.on('request', (r) => { if (!r.url().startsWith('file:')) wrong.push(`it asks for ${r.url()}`); });
      await page.goto(url(file));
      return page;
    };
    try {
      await check(open);
      assert(wrong.length === 0, wrong.join('; '));
      console.log(`ok ${name}`);
    } catch (e) {
      console.log(`not ok ${name}: ${String(e.message).split('\n')[0]}`);
    }
    await context.close();
  }
  await browser.close();
})();
