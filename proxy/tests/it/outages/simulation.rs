//! Origins that hang, fail and answer by turns, in time that is moved by hand: how long requests
//! wait, and how many reach the origin. `SHELLAC_OUTAGE_SEED` repeats a run.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shellac::testing::origins::failures::PAUSE;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::exchange::{Answered, Bench, Kind, STEP, settle};
use crate::support::origin::{Gate, Origin, Reply, ok, status};

const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_BYTE: Duration = Duration::from_secs(3);
/// The further wait of a request that is sent itself, in the queue and for a connection, and the
/// steps of time.
const GRACE: Duration = Duration::from_millis(400);

fn bench(origin: &Origin) -> Bench {
    Bench::new(origin, |config| {
        config.origins[0].first_byte_timeout = FIRST_BYTE;
        config.cache.collapse_patience = PATIENCE;
    })
}

async fn all(requests: Vec<JoinHandle<Answered>>) -> Vec<Answered> {
    let mut answers = Vec::new();
    for request in requests {
        assert!(request.is_finished(), "a request waits without end");
        answers.push(request.await.unwrap());
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_one_time_out_in_all() {
    let origin = Origin::start().await;
    origin.on("/a", Reply::held(&Gate::closed()));
    let bench = bench(&origin);
    let mut requests = Vec::new();
    for _ in 0..100 {
        requests.push(bench.ask("/a"));
        bench.advance(STEP).await;
    }
    bench.advance(FIRST_BYTE + GRACE).await;

    let answers = all(requests).await;
    assert!(answers.iter().all(|one| one.kind == Kind::Failed));
    let longest = answers.iter().map(|one| one.waited).max().unwrap();
    assert!(longest <= FIRST_BYTE + GRACE, "{longest:?}");
    let shortest = answers.iter().map(|one| one.waited).min().unwrap();
    assert!(shortest >= FIRST_BYTE, "{shortest:?}: no request inherits another's failure");
    // 10 s of arrivals and one time-out, a flight for each patience.
    assert!(origin.count("/a") <= 14, "{}", origin.count("/a"));
}

#[tokio::test(start_paused = true)]
async fn requests_behind_a_hung_flight_are_answered_soon_after_recovery() {
    let origin = Origin::start().await;
    let page = ok("new").field("cache-control", "max-age=60, must-revalidate");
    let hung = || Reply::held(&Gate::closed());
    origin.on_each("/a", [hung(), hung(), page]);
    let bench = bench(&origin);
    let mut requests = Vec::new();
    for _ in 0..10 {
        requests.push(bench.ask("/a"));
        settle().await;
    }
    bench.advance(PATIENCE * 2).await; // the second flight hangs, the third one is answered
    let done = requests.iter().filter(|one| one.is_finished()).count();
    assert!(done >= 8, "all but those who launched the first two flights are answered: {done}");
    bench.advance(PATIENCE / 4 + STEP * 2).await; // those look what others' flights have stored

    let answers = all(requests).await;
    assert!(answers.iter().all(|one| one.kind != Kind::Failed), "{answers:?}");
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_slow_page_is_no_error_for_those_who_wait_for_it() {
    let origin = Origin::start().await;
    let slow = Gate::closed();
    let page = ok("slow").field("cache-control", "max-age=60").after(&slow);
    origin.on_each("/a", [page, Reply::held(&Gate::closed())]);
    let bench = bench(&origin);
    let mut requests = Vec::new();
    for _ in 0..9 {
        requests.push(bench.ask("/a"));
        bench.advance(STEP).await;
    }
    bench.advance(Duration::from_secs(2)).await;
    slow.open(); // slower than the patience, faster than the time-out
    settle().await;

    let answers = all(requests).await;
    assert!(answers.iter().all(|one| one.kind == Kind::Fetched), "{answers:?}");
}

/// The behaviour of the origin for one URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Answers,
    Hangs,
    Fails,
    Breaks,
}

struct Url {
    path: String,
    mood: Arc<Mutex<Mood>>,
    since: Instant,
    /// Requests at the origin when the mood began.
    asked: usize,
    /// Set where its stale response may be served on error.
    has_stale: bool,
    /// When the first request after the mood began was sent.
    tried: Option<Instant>,
    waiting: Vec<(JoinHandle<Answered>, Expected)>,
}

/// The bounds on a request that is sent now.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    at_once: bool,
    is_fresh: bool,
}

struct Choices(u64);

impl Choices {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test(start_paused = true)]
async fn origins_that_hang_fail_and_recover_hold_no_request_up() {
    let asked = std::env::var("SHELLAC_OUTAGE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = asked.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
    println!("SHELLAC_OUTAGE_SEED={seed}");
    let mut choices = Choices(seed);
    let origin = Origin::start().await;
    let bench = bench(&origin);
    let mut urls: Vec<_> = (0..4).map(|number| url(&origin, number)).collect();
    for url in &mut urls {
        url.waiting.push((bench.ask(&url.path), Expected::default()));
    }
    settle().await;
    for _ in 0..1200 {
        for url in &mut urls {
            if choices.below(80) == 0 {
                url.turn(&origin, &mut choices);
            }
            for _ in 0..choices.below(3) {
                let expected = url.expected();
                url.waiting.push((bench.ask(&url.path), expected));
                url.tried.get_or_insert_with(Instant::now);
            }
            url.check_load(&origin);
        }
        settle().await;
        bench.advance(STEP).await;
        for url in &mut urls {
            url.check_answers(seed).await;
        }
    }
    bench.advance(FIRST_BYTE + GRACE).await;
    for url in &mut urls {
        url.check_answers(seed).await;
        assert!(url.waiting.is_empty(), "seed {seed}: {} waits without end", url.path);
    }
}

fn url(origin: &Origin, number: usize) -> Url {
    let path = format!("/{number}");
    let mood = Arc::new(Mutex::new(Mood::Answers));
    let has_stale = number < 3;
    let control = if has_stale { "max-age=2" } else { "max-age=2, must-revalidate" };
    let shared = Arc::clone(&mood);
    origin.script(&path, move |_| {
        let mood = *shared.lock().unwrap();
        match mood {
            Mood::Answers => ok("page").field("cache-control", control),
            Mood::Hangs => Reply::held(&Gate::closed()),
            Mood::Fails => status("503 Service Unavailable", "broken"),
            Mood::Breaks => Reply::nothing(),
        }
    });
    let (since, asked, tried, waiting) = (Instant::now(), 0, None, Vec::new());
    Url { path, mood, since, asked, has_stale, tried, waiting }
}

impl Url {
    fn turn(&mut self, origin: &Origin, choices: &mut Choices) {
        let moods = [Mood::Answers, Mood::Hangs, Mood::Hangs, Mood::Fails, Mood::Breaks];
        let mood = moods[usize::try_from(choices.below(5)).unwrap()];
        *self.mood.lock().unwrap() = mood;
        (self.since, self.asked, self.tried) = (Instant::now(), origin.count(&self.path), None);
    }

    fn expected(&self) -> Expected {
        let mood = *self.mood.lock().unwrap();
        let tried_for = self.tried.map_or(Duration::ZERO, |tried| tried.elapsed());
        // Two seconds until it is stale, one patience until that is noticed.
        let is_known = mood == Mood::Hangs && tried_for > Duration::from_secs(2) + PATIENCE + GRACE;
        let is_over = mood == Mood::Answers && tried_for > PAUSE + PATIENCE + GRACE;
        Expected { at_once: is_known && self.has_stale, is_fresh: is_over }
    }

    /// A hung URL costs the origin one request for each patience, and one that fails one for each
    /// that arrives.
    fn check_load(&self, origin: &Origin) {
        if *self.mood.lock().unwrap() == Mood::Hangs {
            let asked = origin.count(&self.path) - self.asked;
            let span = self.since.elapsed().as_millis() / PATIENCE.as_millis();
            assert!(
                asked as u128 <= span + 2,
                "{asked} requests for a hung URL in {span} patiences"
            );
        }
    }

    async fn check_answers(&mut self, seed: u64) {
        let (done, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(one, _)| one.is_finished());
        self.waiting = waiting;
        let done: Vec<(JoinHandle<Answered>, Expected)> = done;
        for (request, expected) in done {
            let answer = request.await.unwrap();
            let what = format!("seed {seed}: {} {answer:?} {expected:?}", self.path);
            assert!(answer.waited <= FIRST_BYTE + GRACE, "{what}");
            if self.has_stale {
                assert_ne!(answer.kind, Kind::Failed, "{what}");
            }
            if expected.at_once {
                assert!(answer.waited <= STEP, "{what}");
            }
            if expected.is_fresh {
                assert!(matches!(answer.kind, Kind::Hit | Kind::Fetched), "{what}");
            }
        }
    }
}
