//! Folding by example, and against proxies of any limits: a position passes a record only after
//! everything that the record purges is in force.

use proptest::prelude::*;
use purge_protocol::log::LogId;
use purge_protocol::{Deploy, Expression};
use shellac::testing::purge::log::reading;

use super::*;
use crate::delivery::encoding::{self, CleanSince};
use crate::delivery::parts::Parts;
use crate::partition::Partition;
use crate::partition::window::{Slice, WindowLimits};

fn purge(
    offset: i64,
    tags: &[&str],
    mode: Option<PurgeMode>,
    revision: Option<u64>,
) -> LoggedPurge {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let request = PurgeRequest { tags, mode, ..PurgeRequest::default() };
    LoggedPurge { offset, request, revision, rewarm: None }
}

fn fold(purges: impl IntoIterator<Item = LoggedPurge>) -> Fold {
    let mut fold = Fold::default();
    fold.extend(purges);
    fold
}

const HARD: Option<PurgeMode> = Some(PurgeMode::Hard);
const SOFT: Option<PurgeMode> = Some(PurgeMode::Soft);

#[test]
fn each_selector_is_purged_once_in_each_mode_at_its_highest_offset() {
    let missed = [
        purge(3, &["a", "b"], SOFT, None),
        purge(4, &["a"], HARD, None),
        purge(5, &["b"], SOFT, None),
        purge(6, &["d"], None, None),
        purge(7, &["c"], SOFT, Some(9)),
        purge(8, &["a"], SOFT, None),
    ];
    let folded = fold(missed).into_purges(100);
    let shown: Vec<_> = folded
        .iter()
        .map(|it| (it.offset, it.request.tags.join(" "), it.request.mode, it.revision))
        .collect();
    let text = |text: &str| text.to_owned();
    let expected = [
        (4, text("a"), HARD, None),
        (6, text("d"), None, None),
        (7, text("c"), SOFT, Some(9)),
        (8, text("b a"), SOFT, None),
    ];
    assert_eq!(shown, expected);
}

fn deploy(id: &str) -> Deploy {
    Deploy { id: id.to_owned(), ..Deploy::default() }
}

#[test]
fn of_deploys_none_overtakes_a_later_one_whatever_they_come_with() {
    let with = |mut purge: LoggedPurge, id: &str| {
        purge.request.deploys.push(deploy(id));
        purge
    };
    let missed = [
        with(purge(3, &["a"], HARD, None), "one"),
        with(purge(4, &[], SOFT, None), "two"),
        with(purge(5, &["b"], None, Some(9)), "three"),
        with(purge(6, &[], HARD, None), "one"),
        purge(7, &["c"], HARD, None),
    ];
    let folded = fold(missed).into_purges(100);
    let order: Vec<_> =
        folded.iter().flat_map(|it| it.request.deploys.iter().map(|it| it.id.clone())).collect();
    assert_eq!(order, ["two", "three", "one"]);
    assert!(folded.is_sorted_by_key(|it| it.offset));
}

#[test]
fn expressions_pages_and_deploys_come_through_a_fold_and_in_parts() {
    let text = r#"{"offset":1,"pages":["//h/p"],"paths":["//h/q"],"deploys":[{"id":"d"}],
        "expressions":[{"all_of":["tag:a"],"none_of":["tag:b"]}],"all":true,"mode":"soft"}"#;
    let purge: LoggedPurge = serde_json::from_str(text).unwrap();
    let sorted = |mut selectors: Vec<Selector>| {
        selectors.sort_by_cached_key(|selector| format!("{selector:?}"));
        selectors
    };
    let meant = sorted(purge.request.clone().take_selectors());
    let folded = fold([purge.clone()]).into_purges(1);
    assert_eq!(folded.iter().filter(|it| it.request.all).count(), 1);
    let selectors = folded.into_iter().flat_map(|mut it| it.request.take_selectors()).collect();
    assert_eq!(sorted(selectors), meant);
    let parts = purge.parts(1);
    assert_eq!(parts.iter().flat_map(|it| &it.request.deploys).count(), 1, "a state is not lost");
    assert_eq!(parts.iter().filter(|it| it.request.all).count(), 1);
    assert_eq!(parts.len(), 2, "everything needs no other purge");
}

#[test]
fn offsets_stay_apart_in_purges_of_limited_size() {
    let missed = (0..25).map(|offset| purge(offset, &[&format!("t{offset:02}")], HARD, None));
    let folded = fold(missed).into_purges(10);
    let shown: Vec<_> = folded.iter().map(|it| (it.offset, it.request.selector_count())).collect();
    assert_eq!(shown, [(9, 10), (19, 10), (24, 5)]);
}

#[test]
fn a_fold_is_full_before_a_proxy_refuses_it_by_default() {
    let rules = settings::PurgeSettings::default();
    for name in ["t".to_owned(), "long".repeat(60)] {
        let (mut fold, mut offset) = (Fold::default(), 0);
        while !fold.is_full() {
            let tags: Vec<String> = (0..8).map(|tag| format!("{name}{offset}-{tag}")).collect();
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            fold.add(purge(offset, &tags, SOFT, None));
            offset += 1;
        }
        let purges = fold.encode(1000);
        let slice = Slice { from: 0, to: offset, last: None, purges, is_urgent: false };
        let body = body(&slice);
        assert!(body.len() as u64 <= rules.log.max_body);
        reading::read(&body, &rules).unwrap();
    }
}

fn body(slice: &Slice) -> Bytes {
    let log = LogId { cluster: "c".into(), topic: "t".into(), partition: 0 };
    let partition =
        Partition::open(log, WindowLimits { records: 9, bytes: 1 << 20, batch: 1 << 20 });
    partition.set_partitions(1);
    encoding::batch(&partition, "p", "i", slice, None, CleanSince::default())
}

/// A proxy of some limits, as far as content is concerned.
struct Proxy {
    rules: settings::PurgeSettings,
    next: i64,
    /// The highest offset up to which each selector is in force in each mode.
    in_force: HashMap<(Option<PurgeMode>, Selector), i64>,
    given_up: usize,
    batches: usize,
}

impl Proxy {
    /// Takes a batch as a proxy does; `false`: it refuses.
    fn take(&mut self, slice: &Slice) -> bool {
        self.batches += 1;
        let body = body(slice);
        if body.len() as u64 > self.rules.log.max_body {
            return false;
        }
        let Ok(sound) = reading::read(&body, &self.rules) else { return false };
        assert!(sound.batch.from <= self.next, "a gap");
        for purge in sound.purges.into_iter().filter(|purge| purge.offset >= self.next) {
            let mode = purge.logged.request.mode;
            for (selector, _) in purge.selectors {
                let newest = self.in_force.entry((mode, selector)).or_insert(purge.offset);
                *newest = purge.offset.max(*newest);
            }
        }
        self.next = self.next.max(sound.batch.to);
        true
    }

    /// Delivers as a delivery does, until the position is moved or `answers` are used up: then the
    /// connection breaks.
    fn deliver(&mut self, slice: &Slice, answers: usize) {
        if self.take(slice) {
            return;
        }
        let mut parts = Parts::of(slice);
        let mut is_taken = false;
        for _ in 0..answers {
            if is_taken {
                if parts.applied(&[]) {
                    return;
                }
            } else if parts.refused().is_some() {
                self.given_up += 1;
            }
            is_taken = self.take(&parts.next());
        }
    }

    fn assert_in_force(&self, log: &[LoggedPurge]) {
        for record in log.iter().filter(|record| record.offset < self.next) {
            let mode = record.request.mode;
            for selector in record.request.clone().take_selectors() {
                let is_deploy = matches!(selector, Selector::Deploy(_));
                let mode = if is_deploy { None } else { mode };
                let newest = self.in_force.get(&(mode, selector.clone())).copied();
                assert!(
                    newest.is_some_and(|newest| newest >= record.offset),
                    "{selector:?} of {} is in force up to {newest:?}, and the position is {}",
                    record.offset,
                    self.next
                );
            }
        }
    }
}

fn records() -> impl Strategy<Value = Vec<LoggedPurge>> {
    let mode = prop_oneof![Just(HARD), Just(SOFT), Just(None)];
    let name = prop_oneof![3 => 0..6_u32, 1 => 0..100_000_u32];
    let names = prop::collection::vec((name, any::<bool>()), 1..40);
    let revision = prop::option::weighted(0.1, 0..9_u64);
    let record = (mode, names, revision, 1..3_i64);
    prop::collection::vec(record, 1..60).prop_map(|records| {
        let mut offset = 0;
        let logged = |(mode, names, revision, step): (_, Vec<(u32, bool)>, _, i64)| {
            offset += step;
            let mut request = PurgeRequest { mode, ..PurgeRequest::default() };
            for (name, is_url) in names {
                let url = format!("http://h.example/{name}");
                let term = format!("tag:t{name}");
                request.push(match (is_url, name % 4) {
                    (true, 0) => Selector::Page(url),
                    (true, 1) => Selector::Path(url),
                    (true, _) => Selector::Url(url),
                    (false, 0) => Selector::Expression(Expression {
                        all_of: vec![term, "host:h.example".to_owned()],
                        ..Expression::default()
                    }),
                    (false, 1) => Selector::Deploy(deploy(&format!("d{name}"))),
                    (false, _) => Selector::Tag(format!("t{name}")),
                });
            }
            LoggedPurge { offset, request, revision, rewarm: None }
        };
        records.into_iter().map(logged).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Chunks of any size, limits of any size, connections that break anywhere: everything below
    /// the position is in force.
    #[test]
    fn a_position_passes_a_record_after_all_that_it_purges_is_in_force(
        log in records(),
        max_body in 1024..40_000_u64,
        max_purges in 1..50_usize,
        max_selectors in 1..200_usize,
        max_selectors_each in 1..50_usize,
        chunk in 1..40_usize,
        breaks in prop::collection::vec(prop::option::weighted(0.3, 0..30_usize), 1..40),
    ) {
        let mut rules = settings::PurgeSettings { max_selectors: max_selectors_each, ..settings::PurgeSettings::default() };
        rules.log = settings::PurgeLogSettings { max_body, max_purges, max_selectors, ..rules.log };
        let (in_force, given_up, batches) = (HashMap::new(), 0, 0);
        let mut proxy = Proxy { rules, next: 0, in_force, given_up, batches };
        let end = log.last().unwrap().offset + 1;
        let mut breaks = breaks.into_iter().chain(std::iter::repeat(None));
        while proxy.next < end {
            let from = proxy.next;
            let missed: Vec<_> =
                log.iter().filter(|record| record.offset >= from).take(chunk).cloned().collect();
            let to = missed.last().map_or(end, |record| record.offset + 1);
            let purges = fold(missed).encode(1000);
            let slice = Slice { from, to, last: None, purges, is_urgent: false };
            proxy.deliver(&slice, breaks.next().flatten().unwrap_or(usize::MAX));
            proxy.assert_in_force(&log);
        }
        prop_assert_eq!(proxy.given_up, 0, "no limit is smaller than one selector");
    }
}
