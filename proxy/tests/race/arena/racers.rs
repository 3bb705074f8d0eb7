//! The racers: mutators change pages and purge them, readers look.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::Arena;
use super::connection::Connection;
use super::page::LANGUAGES;
use super::purges::{Kind, Purge};
use super::random::Random;

/// Changes pages and purges them.
#[derive(Debug)]
pub(crate) struct Mutator {
    arena: Arc<Arena>,
    random: Random,
    kinds: &'static [Kind],
    overtaken: Connection,
    own: Connection,
    admin: Connection,
}

/// Asks for random pages until the mutators are done.
#[derive(Debug)]
pub(crate) struct Reader {
    arena: Arc<Arena>,
    random: Random,
    connection: Connection,
}

impl Mutator {
    pub(crate) async fn enter(arena: Arc<Arena>, random: Random, kinds: &'static [Kind]) -> Self {
        let overtaken = Connection::to(arena.proxy.traffic()).await;
        let own = Connection::to(arena.proxy.traffic()).await;
        let admin = Connection::to(arena.proxy.admin()).await;
        Self { arena, random, kinds, overtaken, own, admin }
    }

    pub(crate) async fn race(mut self, races: usize) {
        for _ in 0..races {
            self.race_once().await;
        }
    }

    /// A purge, a request that it may overtake, and one that comes after it.
    async fn race_once(&mut self) {
        let Self { arena, random, kinds, overtaken, own, admin } = self;
        let mut purge = Purge::choose(random.one_of(kinds), arena.is_failing, &arena.pages, random);
        let number = match &*purge.renewed {
            [] => random.below(arena.pages.len()),
            renewed => random.one_of(renewed),
        };
        let page = &arena.pages[number];
        let (before, after) = (random.one_of(&LANGUAGES), random.one_of(&LANGUAGES));
        if purge.kind != Kind::Deploy && random.one_in(3) {
            arena.proxy.purge(&purge.request).await; // so that the next request has to be rendered
        }
        let pause = Duration::from_millis(random.one_of(&PAUSE_MILLIS));
        let is_over_http = random.one_in(4);
        let slow = look(arena, overtaken, page.number, before);
        let change_and_purge = async {
            sleep(pause).await;
            let changed: Vec<_> =
                purge.renewed.iter().map(|page| (*page, arena.truth.change(*page))).collect();
            if purge.kind == Kind::Deploy {
                purge.deploy(arena.truth.deploy());
            }
            if is_over_http {
                arena.proxy.note(&admin.purge(&purge.request).await);
            } else {
                arena.proxy.purge(&purge.request).await;
            }
            for (page, version) in changed {
                arena.truth.forbid_before(page, version);
            }
            look(arena, own, page.number, after).await;
        };
        tokio::join!(slow, change_and_purge);
    }
}

impl Drop for Mutator {
    fn drop(&mut self) {
        self.arena.racing.fetch_sub(1, Ordering::Release); // pairs with the acquire in `is_over`
    }
}

impl Reader {
    pub(crate) async fn enter(arena: Arc<Arena>, random: Random) -> Self {
        let connection = Connection::to(arena.proxy.traffic()).await;
        Self { arena, random, connection }
    }

    pub(crate) async fn read_until_the_end(mut self) {
        while !self.arena.is_over() {
            let page = self.random.below(self.arena.pages.len());
            let language = self.random.one_of(&LANGUAGES);
            look(&self.arena, &mut self.connection, page, language).await;
        }
    }
}

/// Looks at a page: nothing older than what was purged before the request began.
async fn look(arena: &Arena, connection: &mut Connection, page: usize, language: &str) {
    let oldest = arena.truth.oldest_allowed(page);
    let page = &arena.pages[page];
    let Some(version) = connection.version_of(page, language).await else { return };
    assert!(version >= oldest, "version {version} after the purge of {oldest}: {page:?}");
}

/// Time between a request and the purge that may overtake it: before it arrives, while it is
/// rendered, or later.
const PAUSE_MILLIS: [u64; 4] = [0, 0, 1, 2];
