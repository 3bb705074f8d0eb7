//! A product changes: after a purge by any endpoint, every page that shows it shows the new price,
//! and no other page is lost.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Answer, Client, PATIENCE, Renderer, Shellac, shellac};

const PURGE_API: &str = "/api/v1/purge";

#[tokio::test]
async fn a_purge_by_tag_through_the_admin_api_renews_the_pages_that_show_the_product() {
    let shop = Shop::open(0).await;
    let price = shop.raise_price().await;
    let report = shop.shellac.admin().post(PURGE_API, &json!({"tags": [shop.product_tag()]})).await;
    shop.expect_renewed(&price, report.purged()).await;
}

#[tokio::test]
async fn a_purge_request_with_a_surrogate_key_renews_the_pages_that_show_the_product() {
    let shop = Shop::open(1).await;
    let price = shop.raise_price().await;
    let tag = shop.product_tag();
    let report = shop.shellac.client().purge("/", &[("surrogate-key", &tag)]).await;
    shop.expect_renewed(&price, report.purged()).await;
}

#[tokio::test]
async fn the_purge_command_renews_the_pages_that_show_the_product() {
    let shop = Shop::open(2).await;
    let price = shop.raise_price().await;
    let admin = shop.shellac.admin().host();
    let tag = shop.product_tag();
    let output = shellac::run(&["purge", "--tag", &tag, "--admin", &admin, "--json"], "");
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it prints the report");
    let purged = report["matched"]["objects"].as_u64().expect("the report has a count");
    shop.expect_renewed(&price, purged).await;
}

#[tokio::test]
async fn the_purge_command_tells_people_how_much_it_purged() {
    let shellac = purgeable();
    shellac.client().get_all(&paths("amber", 2)).await;
    let admin = shellac.admin().host();
    let output =
        shellac::run(&["purge", "--tag", "site-amber", "--tag", "none", "--admin", &admin], "");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = said.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["2  tag site-amber", "0  tag none"]);
    assert!(lines[2].starts_with("2  stored responses purged"), "{said}");
}

#[tokio::test]
async fn a_purge_by_etag_is_for_all_pages_of_the_site_and_no_other() {
    let shellac = purgeable();
    let client = shellac.client();
    let (amber, birch) = (paths("amber", 8), paths("birch", 8));
    client.get_all(&amber).await;
    client.get_all(&birch).await;

    let report = client.purge("/", &[("etag", "\"site-amber\"")]).await;

    assert_eq!(report.purged(), 8);
    assert!(client.get_all(&birch).await.iter().all(Answer::is_hit));
    assert!(!client.get_all(&amber).await.iter().any(Answer::is_hit));
}

#[tokio::test]
async fn a_purge_by_url_is_for_this_page_only() {
    let shellac = purgeable();
    let client = shellac.client();
    let pages = paths("cedar", 3);
    client.get_all(&pages).await;
    let url = format!("http://{}{}", client.host(), pages[1]);
    let by_api = json!({ "urls": [url] });

    for endpoint in ["PURGE", "API"] {
        let report = match endpoint {
            "PURGE" => client.purge(&pages[1], &[]).await,
            _ => shellac.admin().post(PURGE_API, &by_api).await,
        };
        assert_eq!(report.purged(), 1, "{endpoint}");
        let hits: Vec<_> = client.get_all(&pages).await.iter().map(Answer::is_hit).collect();
        assert_eq!(hits, [true, false, true], "{endpoint}");
    }
}

#[tokio::test]
async fn a_purge_of_everything_leaves_nothing() {
    let shellac = purgeable();
    let client = shellac.client();
    let pages = [paths("amber", 3), paths("birch", 3)].concat();
    client.get_all(&pages).await;

    let all = json!({"all": true});
    assert_eq!(shellac.admin().post(PURGE_API, &all).await.purged(), 6);
    assert_eq!(shellac.admin().post(PURGE_API, &all).await.purged(), 0);
    assert!(!client.get_all(&pages).await.iter().any(Answer::is_hit));
}

#[tokio::test]
async fn a_soft_purge_shows_the_old_page_while_the_new_one_is_rendered_once() {
    let renderer = Renderer::start();
    let shellac = purge_allowed(&renderer);
    let client = shellac.client();
    let path = "/s/amber/p/77";
    let old = client.get(path).await;
    let price = renderer.raise_price(77).await;
    let soft = [("surrogate-key", "product-77"), ("shellac-purge", "soft")];
    assert_eq!(client.purge("/", &soft).await.purged(), 1);

    let stale = client.get(path).await;
    assert!(stale.cache_says("detail=stale_while_revalidate"), "{:?}", stale.fields);
    assert_eq!(stale.body, old.body);
    let fresh = timeout(PATIENCE, until_hit(client, path)).await.expect("it is refreshed");
    assert_eq!(fresh.shown("price"), price);
    assert_eq!(renderer.requests_for(path).await, 2, "one for each version");
}

#[tokio::test]
async fn a_purge_on_a_traffic_listener_is_off_until_it_is_allowed() {
    let shellac = Shellac::before(Renderer::shared().address());
    let client = shellac.client();
    let pages = paths("amber", 1);
    client.get_all(&pages).await;
    let refused = client.purge("/", &[("surrogate-key", "site-amber")]).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(client.get(&pages[0]).await.is_hit());
}

/// A proxy that has stored the lists of a site, and some product pages. One product is about to
/// change.
struct Shop {
    shellac: Shellac,
    product: u64,
    pages: Vec<(String, Answer)>,
}

impl Shop {
    /// Chooses the product that is shown on the home page at this place.
    async fn open(place: usize) -> Self {
        let renderer = Renderer::shared();
        let shellac = purgeable();
        let home = renderer.client().get("/s/amber/").await;
        let featured = home.text().split("data-product=\"").nth(place + 1).expect("it is shown");
        let product = featured.split('"').next().and_then(|id| id.parse().ok());
        let product: u64 = product.expect("products are numbered");

        let urls = renderer.client().get("/urls?site=amber").await;
        let lists = urls.text().lines().filter(|path| !path.contains("/p/"));
        let others = ["/s/amber/p/1".to_owned(), "/s/birch/".to_owned()];
        let mut paths: Vec<_> = lists.map(str::to_owned).chain(others).collect();
        paths.push(format!("/s/amber/p/{product}"));

        let answers = shellac.client().get_all(&paths).await;
        let again = shellac.client().get_all(&paths).await;
        assert!(again.iter().all(Answer::is_hit), "all of them are stored");
        Self { shellac, product, pages: paths.into_iter().zip(answers).collect() }
    }

    fn product_tag(&self) -> String {
        format!("product-{}", self.product)
    }

    async fn raise_price(&self) -> String {
        Renderer::shared().raise_price(self.product).await
    }

    /// The pages that show the product show this price now, all others are hits; the purge has
    /// counted exactly.
    async fn expect_renewed(&self, price: &str, purged: u64) {
        let mut renewed = 0;
        for (path, before) in &self.pages {
            let after = self.shellac.client().get(path).await;
            if let Some(old) = price_of(self.product, before) {
                renewed += 1;
                assert_ne!(old, price);
                assert!(after.cache_says("fwd=uri-miss"), "{path}: {:?}", after.fields);
                assert_eq!(price_of(self.product, &after), Some(price), "{path}");
            } else {
                assert!(after.is_hit(), "{path}: {:?}", after.fields);
                assert_eq!(after.body, before.body, "{path}");
            }
        }
        assert!(renewed >= 2, "the home page and its own page show it");
        assert_eq!(purged, renewed);
    }
}

/// The price that a page shows for a product: on its card in a list, or as the page's own.
fn price_of(product: u64, page: &Answer) -> Option<&str> {
    let card = format!("data-product=\"{product}\"");
    let own = format!("\"product\":{{\"id\":{product},");
    if let Some((_, rest)) = page.text().split_once(&card) {
        let (_, rest) = rest.split_once("data-price=\"")?;
        rest.split('"').next()
    } else if page.text().contains(&own) {
        Some(page.shown("price"))
    } else {
        None
    }
}

async fn until_hit(client: Client, path: &str) -> Answer {
    loop {
        let answer = client.get(path).await;
        if answer.is_hit() {
            return answer;
        }
    }
}

/// The first product pages of a site. Its products are numbered from here on.
fn paths(site: &str, count: usize) -> Vec<String> {
    let first = match site {
        "amber" => 1,
        "birch" => 1201,
        _ => 2001,
    };
    (first..first + count).map(|product| format!("/s/{site}/p/{product}")).collect()
}

fn purgeable() -> Shellac {
    purge_allowed(Renderer::shared())
}

fn purge_allowed(renderer: &Renderer) -> Shellac {
    Shellac::configured(renderer.address(), "", "[purge]\nallow = [\"127.0.0.0/8\"]")
}
