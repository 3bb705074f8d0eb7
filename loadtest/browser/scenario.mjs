// What visitors do on a site: they read, log in, see a preview; meanwhile a price changes and another build is deployed.
import { ask } from './servers.mjs';
import { Tab } from './tab.mjs';

// Runs everything, and returns what was wrong and what the console said.
export async function visit(browser, stage, visitors) {
  const wrong = [];
  const errors = [];
  const during = async (name, act) => {
    const tab = await Tab.open(browser, stage, name);
    await act(tab).catch((error) => tab.wrong.push(String(error).split('\n')[0]));
    await tab.close().catch(() => {}); // which takes nothing back
    wrong.push(...tab.wrong.map((text) => `${name}: ${text}`));
    errors.push(...tab.errors.map((text) => `${name}: ${text}`));
  };
  for (let number = 1; number <= visitors; number += 1) {
    await during(`reader ${number}`, (tab) => read(tab, number));
  }
  await during('member', logIn);
  await during('stranger', (tab) => isClosed(tab));
  if (stage.preview) await during('editor', preview);
  await during('reader after the preview', (tab) => shows(tab, '/p/1', { title: 'Product 1', draft: 'published' }));
  await raisePrice(stage, '/p/2');
  await during('buyer', buy);
  await during('reader of old pages', (tab) => seeDeploy(tab, stage));
  await during('reader after the deploy', (tab) => readNew(tab));
  return { wrong, errors };
}

const product = (id) => ({ title: `Product ${id}`, draft: 'published' });

// From page to page within the site, back, and once more.
async function read(tab, number) {
  const id = (number % 5) + 1;
  const next = (id % 5) + 1;
  await tab.goto(`/?utm_source=mail&utm_campaign=${number}&gclid=g${number}`);
  await tab.check('the home page', { title: 'Home', running: 'a' });
  await tab.click(`product-${id}`);
  await tab.check('a product', product(id));
  await tab.click('next');
  await tab.check('the next product', product(next));
  await tab.click('search');
  await tab.check('a search', { title: 'Search tea' });
  await tab.click('other-search');
  await tab.check('another search', { title: 'Search milk' });
  await tab.page.goBack();
  await tab.check('back at the search', { title: 'Search tea' });
  await tab.page.goBack();
  await tab.check('back at the product', product(next));
  await tab.page.goForward();
  await tab.check('forward to the search', { title: 'Search tea' });
  await tab.goto(`/p/${id}?fbclid=f${number}`);
  await tab.check('a product from outside', { ...product(id), running: 'a' });
  await tab.page.reload();
  await tab.check('the product again', { ...product(id), running: 'a' });
  if (!tab.stage.personal) return;
  await tab.goto(tab.stage.personal);
  await tab.page.getByTestId('visitor').filter({ hasText: 'nobody' }).waitFor();
  await tab.check('a page with a personal part', {});
}

async function logIn(tab) {
  const user = `member-${Math.random().toString(36).slice(2)}`;
  tab.stage.secrets.add(user);
  await tab.goto('/');
  await tab.check('before', { title: 'Home' });
  await tab.click('account');
  await tab.check('closed', { title: 'Log in' });
  tab.user = user;
  await tab.page.getByTestId('name').fill(user);
  await tab.click('enter');
  await tab.check('the account', { title: 'Account', user });
  await tab.click('home');
  await tab.check('home again', { title: 'Home' });
  await tab.click('product-4');
  await tab.check('a product', product(4));
  if (tab.stage.personal) {
    await tab.goto(tab.stage.personal);
    await tab.page.getByTestId('visitor').filter({ hasText: user }).waitFor();
    await tab.check('a page with a personal part', {});
  }
  await tab.goto('/account');
  await tab.check('the account again', { title: 'Account', user });
}

// What a member sees is nobody else's, neither as a page nor as its data.
async function isClosed(tab) {
  await tab.goto('/account');
  await tab.check('the account', { title: 'Log in' });
  await tab.goto('/');
  await tab.check('home', { title: 'Home' });
  await tab.click('account');
  await tab.check('the account by its link', { title: 'Log in' });
}

async function preview(tab) {
  await tab.goto('/p/1');
  await tab.check('before', { title: 'Product 1', draft: 'published' });
  await tab.goto(`${tab.stage.preview}?to=/p/1`);
  await tab.check('a draft', { title: 'Product 1', draft: 'draft' });
  await tab.goto(`${tab.stage.preview}?off&to=/p/1`);
  await tab.check('after', { title: 'Product 1', draft: 'published' });
}

async function shows(tab, path, expected) {
  await tab.goto(path);
  await tab.check(path, expected);
}

// A price changes at the origin, and the page is purged.
async function raisePrice(stage, path) {
  const headers = { 'x-check': '1', 'content-type': 'application/json' };
  const { status } = await ask(`${stage.site.url}/api/price${path.slice(2)}`, { method: 'POST', headers, body: '{}' });
  if (status !== 200) throw new Error(`a price cannot be raised: ${status}`);
  await stage.cache.purgePage(path);
}

async function buy(tab) {
  await tab.goto('/');
  await tab.check('home', { title: 'Home' });
  await tab.click('product-2');
  await tab.check('by a link after the purge', product(2));
  await tab.goto('/p/2');
  await tab.check('by its URL after the purge', product(2));
  await tab.goto('/p/1');
  await tab.click('next');
  await tab.check('by another link after the purge', product(2));
}

// A page was opened before the deploy, and the visitor goes on after it.
async function seeDeploy(tab, stage) {
  await tab.goto('/search?q=tea');
  await tab.check('before the deploy', { title: 'Search tea', running: 'a' });
  await stage.site.deploy('b');
  await stage.cache.deployed('b');
  await tab.click('other-search');
  await tab.check('a search after it', { title: 'Search milk' });
  await tab.click('home');
  await tab.check('home after it', { title: 'Home' });
  await tab.click('product-3');
  await tab.check('a product after it', product(3));
}

async function readNew(tab) {
  for (const id of [1, 3]) {
    await tab.goto(`/p/${id}`);
    await tab.quiet();
    await tab.goto(`/p/${id}`); // the first one may have been stale
    await tab.check('a product', { ...product(id), deployment: 'b', running: 'b' });
  }
  await tab.click('next');
  await tab.check('the next product', { ...product(4), deployment: 'b', running: 'b' });
}
