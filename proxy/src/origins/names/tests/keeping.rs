//! The task of a name, in paused time.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use settings::DnsSettings;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::origins::names::answer::{FoundRecords, Missing};
use crate::origins::names::keeper::{KindPatience, NameLookup, keep};
use crate::origins::names::{Lookups, NoAnswer, Question, Records, ResolvedName};

/// Gives these answers in turn, each after a while, and then the last one for ever.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<(Duration, Result<FoundRecords, NoAnswer>)>>,
    asked: Mutex<Vec<Instant>>,
    /// Addresses of the other kind never come.
    lacks_a_kind: bool,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl NameLookup for Arc<Script> {
    async fn look_up(
        &self,
        _question: &Question,
        _dns: &DnsSettings,
        patience: KindPatience,
    ) -> Result<FoundRecords, NoAnswer> {
        self.asked.lock().push(Instant::now());
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let (pause, answer) = {
            let mut answers = self.answers.lock();
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
        };
        sleep(pause).await;
        if self.lacks_a_kind {
            sleep_until(patience.due()).await;
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

const AT_ONCE: Duration = Duration::ZERO;

fn addresses(last: &[u8]) -> Records {
    Records::Addresses(last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect())
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside failures")]
fn found(last: &[u8], ttl: u64) -> Result<FoundRecords, NoAnswer> {
    Ok(FoundRecords { records: addresses(last), ttl: Duration::from_secs(ttl), missing: None })
}

struct Kept {
    name: Arc<ResolvedName>,
    script: Arc<Script>,
    lookups: Arc<Lookups<Arc<Script>>>,
}

fn kept(answers: Vec<(Duration, Result<FoundRecords, NoAnswer>)>) -> Kept {
    kept_by(Script { answers: Mutex::new(answers.into()), ..Script::default() })
}

fn kept_by(script: Script) -> Kept {
    let script = Arc::new(script);
    let lookups = Arc::new(Lookups::new(Arc::clone(&script), DnsSettings::default()));
    let name = Arc::new(ResolvedName::new(Question::Addresses("app".to_owned())));
    drop(tokio::spawn(keep(Arc::downgrade(&name), Arc::clone(&lookups))));
    Kept { name, script, lookups }
}

impl Kept {
    async fn records(&self) -> Result<Records, NoAnswer> {
        self.name.records().await.map(|records| (*records).clone())
    }

    fn lookups_made(&self) -> usize {
        self.script.asked.lock().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_again_when_its_ttl_is_over() {
    let kept = kept(vec![(AT_ONCE, found(&[1], 30)), (AT_ONCE, found(&[2], 30))]);

    assert_eq!(kept.records().await, Ok(addresses(&[1])));
    sleep(Duration::from_millis(29_900)).await;
    assert_eq!((kept.records().await, kept.lookups_made()), (Ok(addresses(&[1])), 1));
    sleep(Duration::from_millis(200)).await;
    assert_eq!((kept.records().await, kept.lookups_made()), (Ok(addresses(&[2])), 2));
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_the_first_answer_and_for_no_other() {
    let slow = Duration::from_secs(4);
    let kept = kept(vec![(slow, found(&[1], 1)), (slow, found(&[2], 1))]);

    let start = Instant::now();
    assert_eq!(kept.records().await, Ok(addresses(&[1])));
    assert_eq!(start.elapsed(), slow);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(kept.lookups_made(), 2, "the second look-up is under way");
    let asked = Instant::now();
    assert_eq!(kept.records().await, Ok(addresses(&[1])));
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_is_kept_while_look_ups_fail() {
    let failures = [
        NoAnswer::TimedOut,
        NoAnswer::NoName,
        NoAnswer::NoRecords,
        NoAnswer::Failed("broken".to_owned()),
    ];
    for failure in failures {
        let kept = kept(vec![(AT_ONCE, found(&[1], 1)), (AT_ONCE, Err(failure))]);
        assert_eq!(kept.records().await, Ok(addresses(&[1])));

        sleep(Duration::from_hours(1)).await;
        assert_eq!(kept.records().await, Ok(addresses(&[1])));
        let (age, failures) = kept.name.condition();
        assert!(age.unwrap() >= Duration::from_hours(1));
        assert!((110..140).contains(&failures), "every 30 s at last: {failures}");
        kept.script.answers.lock().push_back((AT_ONCE, found(&[2], 1)));
        sleep(Duration::from_mins(1)).await;
        assert_eq!(kept.records().await, Ok(addresses(&[2])));
        assert_eq!(kept.name.condition().1, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_never_ends_is_a_failure() {
    let never = Duration::from_hours(1);
    let kept = kept(vec![(never, found(&[1], 1))]);

    let start = Instant::now();
    assert_eq!(kept.records().await, Err(NoAnswer::TimedOut));
    assert_eq!(start.elapsed(), DnsSettings::default().timeout);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_never_answered_does_not_freeze_the_other() {
    let short = Duration::from_millis(5);
    let answers = vec![(short, found(&[1], 1)), (short, found(&[2], 1))];
    let script =
        Script { answers: Mutex::new(answers.into()), lacks_a_kind: true, ..Script::default() };
    let kept = kept_by(script);

    let start = Instant::now();
    assert_eq!(kept.records().await, Ok(addresses(&[1])));
    assert_eq!(start.elapsed().as_millis(), 5 + 50);
    sleep(Duration::from_secs(1) + DnsSettings::default().timeout).await;
    assert_eq!(kept.records().await, Ok(addresses(&[2])));
}

#[tokio::test(start_paused = true)]
async fn a_name_without_any_answer_fails_at_once_and_is_tried_again() {
    let none = (AT_ONCE, Err(NoAnswer::NoName));
    let kept = kept(vec![none.clone(), none, (AT_ONCE, found(&[1], 1))]);

    assert_eq!(kept.records().await, Err(NoAnswer::NoName));
    let start = Instant::now();
    assert_eq!(kept.records().await, Err(NoAnswer::NoName));
    assert_eq!(start.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(kept.records().await, Ok(addresses(&[1])));
}

#[tokio::test(start_paused = true)]
async fn addresses_of_a_kind_that_cannot_be_looked_up_stay() {
    let ipv6: IpAddr = "fd00::1".parse().unwrap();
    let both = Records::Addresses(vec![ipv6, IpAddr::from([10, 0, 0, 1])]);
    let second = Duration::from_secs(1);
    let first = FoundRecords { records: both, ttl: second, missing: None };
    let half = FoundRecords { records: addresses(&[2]), ttl: second, missing: Some(Missing::Ipv6) };
    let kept = kept(vec![(AT_ONCE, Ok(first)), (AT_ONCE, Ok(half)), (AT_ONCE, found(&[3], 1))]);

    drop(kept.records().await);
    sleep(second + second / 2).await;
    let merged = Records::Addresses(vec![IpAddr::from([10, 0, 0, 2]), ipv6]);
    assert_eq!(kept.records().await, Ok(merged));
    sleep(second).await;
    assert_eq!(kept.records().await, Ok(addresses(&[3])), "a full answer replaces all");
}

#[tokio::test(start_paused = true)]
async fn a_doubted_answer_is_looked_up_soon_and_not_too_often() {
    let kept = kept(vec![(AT_ONCE, found(&[1], 600)), (AT_ONCE, found(&[2], 600))]);

    drop(kept.records().await);
    sleep(Duration::from_mins(1)).await;
    kept.name.doubt();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(kept.records().await, Ok(addresses(&[2])));
    for _ in 0..1_000 {
        kept.name.doubt();
        sleep(Duration::from_millis(10)).await;
    }
    let made = kept.lookups_made();
    assert!((10..=13).contains(&made), "{made} look-ups, one a second in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn new_settings_hold_at_once_and_no_answer_is_lost() {
    let kept = kept(vec![(AT_ONCE, found(&[1], 600)), (AT_ONCE, Err(NoAnswer::TimedOut))]);

    drop(kept.records().await);
    kept.lookups.settings.send_modify(|dns| dns.max_ttl = Duration::from_secs(2));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(kept.lookups_made(), 2);
    assert_eq!(kept.records().await, Ok(addresses(&[1])));
}

#[tokio::test(start_paused = true)]
async fn the_task_of_a_name_ends_when_nobody_needs_the_name() {
    let kept = kept(vec![(Duration::from_secs(3), found(&[1], 1))]);
    let Kept { name, script, lookups } = kept;
    let gone: Weak<_> = Arc::downgrade(&lookups);
    drop(lookups);
    sleep(Duration::from_secs(1)).await;
    drop(name);

    sleep(Duration::from_millis(1)).await;
    assert_eq!(gone.strong_count(), 0, "within a look-up as well");
    assert_eq!(script.asked.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn look_ups_at_once_are_bounded_and_each_has_its_turn() {
    let answers = vec![(Duration::from_millis(100), found(&[1], 600))];
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
    let lookups = Arc::new(Lookups::new(Arc::clone(&script), DnsSettings::default()));
    let names: Vec<_> = (0..200)
        .map(|number| {
            let question = Question::Addresses(number.to_string());
            let name = Arc::new(ResolvedName::new(question));
            drop(tokio::spawn(keep(Arc::downgrade(&name), Arc::clone(&lookups))));
            name
        })
        .collect();

    for name in &names {
        assert!(timeout(Duration::from_secs(1), name.records()).await.unwrap().is_ok());
    }
    assert_eq!(script.most_at_once.load(Ordering::SeqCst), super::super::LOOKUPS_MAX);
}
