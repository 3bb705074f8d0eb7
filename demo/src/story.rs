//! The story in its steps, each of them real: prices and `Cache-Status` are compared, renders are
//! counted.

use std::time::Duration;

use purge_protocol::PurgeMode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::broker::{PARTITIONS, PURGES};
use super::client::{AnswerSource, ClientConnection, ClientError, PageAnswer};
use super::figures::{brief, millis};
use super::publisher::Publisher;
use super::receipts::ReceiptReader;
use super::screen::Screen;
use super::shop::{Cents, Shop};
use super::stage::Stage;
use super::step::StoryStep;

#[derive(Debug)]
pub(super) struct Story<'a> {
    stage: &'a Stage,
    browser: ClientConnection,
    publisher: Publisher,
    receipts: ReceiptReader,
    started: Instant,
    cold: Duration,
    /// The product's price before the change.
    old_price: Cents,
}

/// The steps, in order.
#[derive(Clone, Copy, Debug)]
enum Chapter {
    Join,
    Cold,
    Warm,
    Change,
    Kafka,
    Fresh,
    Race,
    Crowd,
    Outage,
}

impl<'a> Story<'a> {
    pub(super) async fn begin(stage: &'a Stage) -> Result<Self, ClientError> {
        Ok(Self {
            stage,
            browser: ClientConnection::open(stage.proxy.traffic).await?,
            publisher: Publisher::open(stage).await?,
            receipts: ReceiptReader::open(stage)?,
            started: Instant::now(),
            cold: Duration::ZERO,
            old_price: Cents::default(),
        })
    }

    /// Tells the story with a pause before each step. The steps so far are in `told`, even after an
    /// interruption.
    pub(super) async fn tell(
        &mut self,
        screen: &Screen,
        pause: Duration,
        told: &mut Vec<StoryStep>,
    ) {
        for (index, chapter) in Chapter::ALL.into_iter().enumerate() {
            if index > 0 {
                sleep(pause).await;
            }
            let mut step = StoryStep::new(index, chapter.name());
            if let Err(error) = self.play(chapter, &mut step).await {
                step.must(false, || error.to_string());
            }
            screen.say(&step.lines());
            told.push(step);
        }
    }

    async fn play(&mut self, chapter: Chapter, step: &mut StoryStep) -> Result<(), ClientError> {
        match chapter {
            Chapter::Join => self.join(step).await,
            Chapter::Cold => self.cold(step).await,
            Chapter::Warm => self.warm(step).await,
            Chapter::Change => self.change(step).await,
            Chapter::Kafka => self.purge(step).await,
            Chapter::Fresh => self.fresh(step).await,
            Chapter::Race => self.race(step).await,
            Chapter::Crowd => self.crowd(step).await,
            Chapter::Outage => self.outage(step).await,
        }
    }

    /// The purger gets its partitions, and tells the proxy from where on no purge will be missing.
    async fn join(&mut self, step: &mut StoryStep) -> Result<(), ClientError> {
        self.publisher.ready().await?;
        let took = self.started.elapsed();
        step.measure("took_ms", millis(took));
        step.tell(format!(
            "the purger is in its consumer group, the proxy follows {PARTITIONS} partitions of {PURGES}, after {}",
            brief(took)
        ));
        Ok(())
    }

    async fn cold(&mut self, step: &mut StoryStep) -> Result<(), ClientError> {
        let page = self.get(PRODUCT).await?;
        let bystander = self.get(BYSTANDER).await?;
        self.cold = page.took;
        self.old_price = self.shop().price(PRODUCT);
        step.must_be("/p/42", &page, AnswerSource::Miss, self.old_price);
        step.must_be("/p/7", &bystander, AnswerSource::Miss, self.shop().price(BYSTANDER));
        step.measure("miss_ms", millis(page.took));
        step.tell(end_offset(&page));
        Ok(())
    }

    async fn warm(&mut self, step: &mut StoryStep) -> Result<(), ClientError> {
        let mut pages = Vec::new();
        for _ in 0..WARM_REQUESTS {
            let page = self.get(PRODUCT).await?;
            step.must_be("/p/42", &page, AnswerSource::Hit, self.old_price);
            pages.push(page);
        }
        pages.sort_by_key(|page| page.took);
        let Some(median) = pages.get(WARM_REQUESTS / 2) else { return Ok(()) };
        let times = self.cold.as_secs_f64() / median.took.as_secs_f64();
        step.measure("hit_ms", millis(median.took));
        step.tell(format!("{:<39}({times:.0}× faster)", end_offset(median)));
        Ok(())
    }

    /// The price changes at the origin server, and the cache does not know.
    async fn change(&mut self, step: &mut StoryStep) -> Result<(), ClientError> {
        let new = self.shop().raise(PRODUCT);
        let page = self.get(PRODUCT).await?;
        let old = self.old_price;
        step.must_be("/p/42", &page, AnswerSource::Hit, old);
        step.tell(format!(
            "price of product 42 is now {new} at the origin; the cache still serves {old}"
        ));
        Ok(())
    }

    async fn purge(&mut self, step: &mut StoryStep) -> Result<(), ClientError> {
        let purged = self.publisher.purge("product-42", PurgeMode::Hard).await?;
        let receipt = self.receipts.of(purged.written).await?;
        let (objects, proxies) = (receipt.objects.unwrap_or(0), receipt.confirmed.len());
        step.must(objects == 1, || format!("1 stored response carries the tag, {objects} matched"));
        step.must(receipt.complete, || "a proxy has not confirmed it".to_owned());
        step.measure("purged", objects);
        step.measure("proxies", proxies);
        step.measure("took_ms", millis(purged.took));
        step.tell(format!(
            "produced {} to {PURGES}/{}@{} → purged {objects} page on {proxies} proxy in {}",
            purged.event,
            purged.written.partition,
            purged.written.offset,
            brief(purged.took)
        ));
        Ok(())
    }

    async fn fresh(&mut self, step: &mut StoryStep) -> Result<(), ClientError> {
        let price = self.shop().price(PRODUCT);
        let page = self.get(PRODUCT).await?;
        let bystander = self.get(BYSTANDER).await?;
        step.must_be("/p/42", &page, AnswerSource::Miss, price);
        step.must(price > self.old_price, || "the price has not changed".to_owned());
        step.must_be("/p/7", &bystander, AnswerSource::Hit, self.shop().price(BYSTANDER));
        let other = bystander.source.as_str();
        step.tell(format!("{:<38} {price}   GET /p/7  {other} (untouched)", end_offset(&page)));
        Ok(())
    }

    /// A purge while the page is being rendered with the old price.
    async fn race(&mut self, step: &mut StoryStep) -> Result<(), ClientError> {
        let (shop, path) = (self.shop(), format!("/slow/{SLOW}"));
        let mut other = ClientConnection::open(self.stage.proxy.traffic).await?;
        let old = shop.price(SLOW);
        let (early, late) = tokio::join!(other.get(&path), async {
            step.must(is_rendering(shop, SLOW).await, || "no render began".to_owned());
            shop.raise(SLOW);
            drop(self.publisher.purge(&format!("product-{SLOW}"), PurgeMode::Hard).await?);
            self.browser.get(&path).await
        });
        let again = self.browser.get(&path).await?;
        let new = shop.price(SLOW);
        step.must_be("the page asked for before the purge", &early?, AnswerSource::Miss, old);
        step.must_be("the page asked for after the purge", &late?, AnswerSource::Miss, new);
        step.must_be("the stored page", &again, AnswerSource::Hit, new);
        step.measure("renders", shop.renders(SLOW));
        step.tell(format!(
            "purge while a slow page renders: who had asked before got the old page ({old}), which was \
             not stored; then {new}"
        ));
        Ok(())
    }

    /// Many clients request the same page, which is not stored.
    async fn crowd(&self, step: &mut StoryStep) -> Result<(), ClientError> {
        let mut connections = Vec::new();
        for _ in 0..CROWD {
            connections.push(ClientConnection::open(self.stage.proxy.traffic).await?);
        }
        let started = Instant::now();
        let mut requests = JoinSet::new();
        for mut connection in connections {
            requests.spawn(async move { connection.get(&format!("/p/{CROWDED}")).await });
        }
        let answers: Result<Vec<PageAnswer>, ClientError> =
            requests.join_all().await.into_iter().collect();
        let (took, answers) = (started.elapsed(), answers?);
        let price = Some(self.shop().price(CROWDED));
        let right = answers.iter().filter(|answer| answer.price == price).count();
        let renders = self.shop().renders(CROWDED);
        step.must(right == CROWD, || format!("{CROWD} asked, {right} have the page"));
        step.must(renders == 1, || format!("1 origin request must do, there were {renders}"));
        step.measure("requests", right);
        step.measure("origin_requests", renders);
        step.measure("took_ms", millis(took));
        step.tell(format!(
            "{CROWD} requests at once for a cold page → {renders} origin request, all answered in {}",
            brief(took)
        ));
        Ok(())
    }

    /// The origin server fails while a page is stale, and comes back.
    async fn outage(&mut self, step: &mut StoryStep) -> Result<(), ClientError> {
        let old = self.shop().price(BYSTANDER);
        drop(self.publisher.purge("product-7", PurgeMode::Soft).await?);
        self.stage.origin.stop().await;
        let new = self.shop().raise(BYSTANDER);
        let stale = self.get(BYSTANDER).await?;
        let unknown = self.get(NEVER_SEEN).await?;
        if let Err(error) = self.stage.origin.resume() {
            step.must(false, || format!("the origin cannot be started again: {error}"));
        }
        let back = self.get(BYSTANDER).await?;
        step.must_be("the stale page", &stale, AnswerSource::StaleHit, old);
        let status = unknown.status.as_u16();
        step.must(unknown.status.is_server_error(), || {
            format!("a page that is not stored must fail, was {status}")
        });
        step.must_be("the page after the outage", &back, AnswerSource::Miss, new);
        step.measure("stale_ms", millis(stale.took));
        step.tell(format!(
            "origin stopped → /p/7 still served ({}, {old}; a page never seen: {status}) → origin back: \
             {}, {new}",
            stale.source.as_str(),
            back.source.as_str()
        ));
        Ok(())
    }

    async fn get(&mut self, number: usize) -> Result<PageAnswer, ClientError> {
        self.browser.get(&format!("/p/{number}")).await
    }

    fn shop(&self) -> &'a Shop {
        &self.stage.origin.shop
    }
}

impl Chapter {
    const ALL: [Self; 9] = [
        Self::Join,
        Self::Cold,
        Self::Warm,
        Self::Change,
        Self::Kafka,
        Self::Fresh,
        Self::Race,
        Self::Crowd,
        Self::Outage,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Change => "change",
            Self::Kafka => "kafka",
            Self::Fresh => "fresh",
            Self::Race => "race",
            Self::Crowd => "crowd",
            Self::Outage => "outage",
        }
    }
}

/// The page of the product that the story is about, as it was seen.
fn end_offset(page: &PageAnswer) -> String {
    format!("{:<19} {:<6} {}", "GET /p/42", page.source.as_str(), brief(page.took))
}

/// Waits until the page of a product is being rendered, or for long enough.
async fn is_rendering(shop: &Shop, number: usize) -> bool {
    let begun = async {
        while shop.renders(number) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), begun).await.is_ok()
}

pub(super) const STEPS: usize = Chapter::ALL.len();
const PRODUCT: usize = 42;
const BYSTANDER: usize = 7;
const SLOW: usize = 9;
const CROWDED: usize = 13;
const NEVER_SEEN: usize = 3;
const WARM_REQUESTS: usize = 21;
const CROWD: usize = 200;
