//! A model that forgets nothing: it keeps every purge, and asks each response about all of them.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Something that happens. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Event {
    Begin,
    /// A fetch in flight gets a response of this path with these tags; it is kept if it may be.
    Respond(Index, usize, Vec<usize>),
    End(Index),
    Mark(Vec<Target>, PurgeMode),
    Ask(Index),
    Drop(Index),
    /// Invalidates stored responses, as the purge executor does after a purge.
    Invalidate,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Tag(usize),
    Url(usize),
    Prefix(usize),
    /// The page at the path of this URL.
    Page(usize),
    /// The path of this URL under every query.
    Path(usize),
    /// Responses that carry the first tag and not the second, or one of the tags at this path.
    Expression(usize, usize, bool),
    All,
}

const PATHS: [&str; 5] = ["/a", "/a/b", "/c", "/a?q=1", "/c.data?q"];
/// The page of each: `/c` has data under a path of its own.
const PAGES: [&str; 5] = ["/a", "/a/b", "/c", "/a", "/c"];
const TAGS: [&str; 3] = ["x", "y", "z"];

fn event() -> impl Strategy<Value = Event> {
    let target = prop_oneof![
        4 => (0..TAGS.len()).prop_map(Target::Tag),
        2 => (0..PATHS.len()).prop_map(Target::Url),
        1 => (0..PATHS.len()).prop_map(Target::Prefix),
        2 => (0..PATHS.len()).prop_map(Target::Page),
        2 => (0..PATHS.len()).prop_map(Target::Path),
        2 => (0..TAGS.len(), 0..TAGS.len(), any::<bool>())
            .prop_map(|(one, other, is_any)| Target::Expression(one, other, is_any)),
        1 => Just(Target::All),
    ];
    let mode = prop_oneof![Just(PurgeMode::Hard), Just(PurgeMode::Soft)];
    let tags = prop::collection::vec(0..TAGS.len(), 0..3);
    prop_oneof![
        3 => Just(Event::Begin),
        3 => (any::<Index>(), 0..PATHS.len(), tags).prop_map(|(a, b, c)| Event::Respond(a, b, c)),
        2 => any::<Index>().prop_map(Event::End),
        3 => (prop::collection::vec(target, 1..3), mode).prop_map(|(a, b)| Event::Mark(a, b)),
        4 => any::<Index>().prop_map(Event::Ask),
        1 => any::<Index>().prop_map(Event::Drop),
        1 => Just(Event::Invalidate),
    ]
}

/// Remembers every purge, and asks each response about all of them.
#[derive(Default)]
struct Model {
    purges: Vec<(u64, Vec<Target>, PurgeMode, u64)>,
}

/// A response, and what it is in the eyes of the model.
struct Held {
    provenance: Provenance,
    path: usize,
    tags: Vec<usize>,
    /// The time at which the first soft purge was noticed; further ones change nothing.
    soft_purged: Option<u64>,
}

impl Model {
    /// The seconds of the soft purges that hit it, or `None` where a hard one did.
    fn judge(&self, born: Sequence, path: usize, tags: &[usize]) -> Option<Vec<u64>> {
        let hits = self.purges.iter().filter(|(sequence, targets, ..)| {
            *sequence > born.0 && targets.iter().any(|target| is_hit(*target, path, tags))
        });
        let mut soft_purged = Vec::new();
        for (_, _, mode, second) in hits {
            match mode {
                PurgeMode::Hard => return None,
                PurgeMode::Soft => soft_purged.push(*second),
            }
        }
        Some(soft_purged)
    }
}

fn is_hit(target: Target, path: usize, tags: &[usize]) -> bool {
    match target {
        Target::Tag(tag) => tags.contains(&tag),
        Target::Url(url) => url == path,
        Target::Prefix(prefix) => PATHS[path].starts_with(PATHS[prefix]),
        Target::Page(url) => PAGES[path] == without_query(PATHS[url]),
        Target::Path(url) => without_query(PATHS[path]) == without_query(PATHS[url]),
        Target::Expression(one, other, false) => tags.contains(&one) && !tags.contains(&other),
        Target::Expression(one, other, true) => {
            let is_at = |tag: usize| without_query(PATHS[path]) == without_query(PATHS[tag]);
            (tags.contains(&one) || tags.contains(&other)) && is_at(one)
        }
        Target::All => true,
    }
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap()
}

/// The tags of a response of this path.
fn ids_of(invalidation: &Invalidation, path: usize, tags: &[usize]) -> Vec<TagId> {
    let mut ids: Vec<_> = tags.iter().map(|number| tag(invalidation, TAGS[*number])).collect();
    let page = Some(PAGES[path].as_bytes());
    ids.extend(invalidation.ids().places(&key(PATHS[path]), page));
    ids
}

fn condition(
    invalidation: &Invalidation,
    one: usize,
    other: usize,
    is_any: bool,
) -> Arc<PurgeCondition> {
    let [tag, none] = [one, other].map(|number| format!("tag:{}", TAGS[number]));
    let path = format!("path:shop.example{}", PATHS[one]);
    let expression = if is_any {
        purge_protocol::Expression { all_of: vec![path], any_of: vec![tag, none], none_of: vec![] }
    } else {
        purge_protocol::Expression { all_of: vec![tag], any_of: vec![], none_of: vec![none] }
    };
    Arc::new(PurgeCondition::of(&expression.read().unwrap(), invalidation.ids()))
}

fn run(events: &[Event]) {
    let invalidation = Arc::new(Invalidation::new(1));
    let (mut model, mut flights, mut stored) = (Model::default(), Vec::new(), Vec::<Held>::new());
    for (second, event) in (1_u64..).zip(events) {
        match event {
            Event::Begin => flights.push(invalidation.begin_fetch()),
            Event::Respond(which, path, tags) if !flights.is_empty() => {
                let flight: &RunningFetch = which.get(&flights);
                let provenance = flight.provenance(ids_of(&invalidation, *path, tags));
                let mut held =
                    Held { provenance, path: *path, tags: tags.clone(), soft_purged: None };
                let may_keep = invalidation.may_keep(&held.provenance, &key(PATHS[*path]));
                let judged = model.judge(flight.born(), *path, tags);
                assert_eq!(may_keep, judged.is_some(), "kept though purged, or dropped though not");
                if may_keep {
                    ask(&invalidation, &model, &mut held);
                    stored.push(held);
                }
            }
            Event::End(which) if !flights.is_empty() => {
                drop(flights.swap_remove(which.index(flights.len())));
            }
            Event::Mark(targets, mode) => {
                let _at_work = invalidation.begin_purge();
                mark(&invalidation, targets, *mode, second);
                model.purges.push((invalidation.sequence().0, targets.clone(), *mode, second));
                let is_unheld = |target: &Target| !matches!(target, Target::Tag(_) | Target::All);
                if targets.iter().any(is_unheld) {
                    // As the purge executor does: these marks have no holders, so it looks at
                    // stored responses.
                    invalidate(&invalidation, &model, &mut stored);
                }
            }
            Event::Invalidate => invalidate(&invalidation, &model, &mut stored),
            Event::Ask(which) if !stored.is_empty() => {
                let index = which.index(stored.len());
                ask(&invalidation, &model, &mut stored[index]);
            }
            Event::Drop(which) if !stored.is_empty() => {
                drop(stored.swap_remove(which.index(stored.len())));
            }
            Event::Respond(..) | Event::End(_) | Event::Ask(_) | Event::Drop(_) => {}
        }
    }
    for held in &mut stored {
        ask(&invalidation, &model, held);
    }
    drop((flights, stored));
    assert_eq!(invalidation.tag_count(), 0, "tags are left without need");
    assert_eq!(invalidation.condition_count(), 0, "conditions are left without need");
    assert_eq!(invalidation.prefix_count(), 0, "prefixes are left without need");
    assert_eq!(invalidation.floor_raised.value(), 0);
}

fn mark(invalidation: &Invalidation, targets: &[Target], mode: PurgeMode, second: u64) {
    let prefixes = PATHS.map(prefix);
    let conditions: Vec<_> = targets
        .iter()
        .map(|target| match *target {
            Target::Expression(one, other, is_any) => condition(invalidation, one, other, is_any),
            _ => condition(invalidation, 0, 0, false),
        })
        .collect();
    let ids = |path: usize| invalidation.ids().path_ids(b"shop.example", PATHS[path].as_bytes());
    let marks: Vec<_> = targets
        .iter()
        .zip(&conditions)
        .flat_map(|(target, condition)| match *target {
            Target::Tag(number) => vec![Mark::Tag(tag(invalidation, TAGS[number]))],
            Target::Url(number) => vec![Mark::Tag(invalidation.ids().url(&key(PATHS[number])))],
            Target::Prefix(number) => vec![Mark::Prefix(&prefixes[number])],
            Target::Page(number) => vec![Mark::Tag(ids(number).own), Mark::Tag(ids(number).page)],
            Target::Path(number) => vec![Mark::Tag(ids(number).own), Mark::Tag(ids(number).path)],
            Target::Expression(..) => vec![Mark::Condition(condition)],
            Target::All => vec![Mark::All],
        })
        .collect();
    invalidation.mark(&marks, mode, at(second));
}

/// Does as [`crate::purge`] with stored responses that a purge without holders hits.
fn invalidate(invalidation: &Invalidation, model: &Model, stored: &mut Vec<Held>) {
    for held in &mut *stored {
        match model.judge(held.provenance.born(), held.path, &held.tags) {
            None => held.provenance.mark_purged(),
            Some(soft_purged) => {
                for second in soft_purged {
                    held.provenance.mark_soft_purged(at(second));
                }
            }
        }
        ask(invalidation, model, held);
    }
}

/// The verdict is the model's. The moment of a soft purge is that of one that hit it, and never
/// moves back and forth.
fn ask(invalidation: &Invalidation, model: &Model, held: &mut Held) {
    let verdict = invalidation.verdict(&held.provenance, &key(PATHS[held.path]));
    let judged = model.judge(held.provenance.born(), held.path, &held.tags);
    match (verdict, judged) {
        (Verdict::Purged, None) => {}
        (Verdict::Valid, Some(soft_purged)) => {
            assert!(soft_purged.is_empty(), "valid though purged");
        }
        (Verdict::Soft(moment), Some(soft_purged)) => {
            let second = moment.as_secs();
            assert!(soft_purged.contains(&second));
            assert!(held.soft_purged.is_none_or(|before| second <= before));
            held.soft_purged = Some(second);
        }
        (verdict, judged) => panic!("{verdict:?}, but the model says {judged:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_verdict_is_that_of_a_model_that_forgets_nothing(
        events in prop::collection::vec(event(), 0..60),
    ) {
        run(&events);
    }

    /// Flights from before a purge, and requests from after it, in any order.
    #[test]
    fn a_flight_that_a_purge_has_overtaken_takes_no_followers(
        steps in prop::collection::vec((any::<bool>(), 0..TAGS.len()), 1..20),
        carried in prop::collection::vec(0..TAGS.len(), 0..3),
    ) {
        let invalidation = Arc::new(Invalidation::new(1));
        let flight = invalidation.begin_fetch();
        let provenance = flight.provenance(carried.iter().map(|n| tag(&invalidation, TAGS[*n])));
        let mut is_overtaken = false;
        for (second, (is_purge, number)) in (1..).zip(steps) {
            if is_purge {
                mark(&invalidation, &[Target::Tag(number)], PurgeMode::Hard, second);
                is_overtaken |= carried.contains(&number);
            }
            let arrived = invalidation.sequence();
            prop_assert_eq!(
                invalidation.may_follow(&provenance, arrived, &key("/")),
                !is_overtaken
            );
        }
    }
}
