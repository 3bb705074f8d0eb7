//! The forecast for an event before it is sent: what a purger with this configuration would make of
//! it, and whether proxies would accept it.

use std::time::SystemTime;

use process::exit::Exit;
use purge_protocol::PurgeMode;
use settings::Config;

use crate::app::event_rules;
use crate::event::{Code, EventReader, Ignored, PurgeEvent, Reading, Record};

/// The reason not to send an event.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: String,
    pub(super) exit: Exit,
}

/// Returns the reason why the event would not purge everything that it names.
pub(super) fn refusal(
    config: &Config,
    event: &PurgeEvent,
    json: &[u8],
    now: SystemTime,
) -> Option<Refusal> {
    let refuse = |why: String, exit| Some(Refusal { why, exit });
    let rules = match event_rules(&config.purger) {
        Ok(rules) => rules,
        Err(error) => return refuse(error.to_string(), Exit::Config),
    };
    let topic = config.purger.topics.first().map_or("", String::as_str);
    let record = Record {
        topic,
        partition: 0,
        offset: 0,
        timestamp: Some(now),
        key: event.site.as_deref().map(str::as_bytes),
        headers: &[],
        payload: Some(json),
    };
    match EventReader::new(rules).read(&record, now) {
        Reading::Purge(read) => unlike(config, event, &read),
        Reading::Unreadable(unreadable) => {
            let exit = match unreadable.code {
                Code::Forbidden => Exit::NotAllowed,
                _ => Exit::Usage,
            };
            refuse(format!("the purger would not carry it out: {}", unreadable.detail), exit)
        }
        Reading::Ignored(Ignored::Filtered) => refuse(
            "the purger would pass it by: its site or hosts are not in purger.sites or purger.hosts"
                .to_owned(),
            Exit::No,
        ),
        Reading::Ignored(why) => {
            refuse(format!("the purger would pass it by: {}", why.as_str()), Exit::No)
        }
    }
}

fn unlike(config: &Config, meant: &PurgeEvent, read: &PurgeEvent) -> Option<Refusal> {
    if meant.request.mode == Some(PurgeMode::Hard) && read.request.mode == Some(PurgeMode::Soft) {
        let why = "the purger would purge softly only: see purger.may_purge_hard";
        return Some(Refusal { why: why.to_owned(), exit: Exit::NotAllowed });
    }
    let left_out = |meant: &[String], read: &[String]| {
        let missing: Vec<&str> =
            meant.iter().filter(|text| !read.contains(text)).map(String::as_str).collect();
        missing.join(", ")
    };
    let (asked, kept) = (&meant.request, &read.request);
    for (meant, read) in [
        (&asked.tags, &kept.tags),
        (&asked.urls, &kept.urls),
        (&asked.hosts, &kept.hosts),
        (&asked.prefixes, &kept.prefixes),
        (&asked.pages, &kept.pages),
        (&asked.paths, &kept.paths),
    ] {
        let missing = left_out(meant, read);
        if !missing.is_empty() && read.len() < meant.len() {
            let why = format!("the purger would leave out {missing}: see purger.hosts");
            return Some(Refusal { why, exit: Exit::No });
        }
    }
    if kept.expressions.len() < asked.expressions.len() || kept.deploys.len() < asked.deploys.len()
    {
        let why = "the purger would leave some of it out: see purger.hosts".to_owned();
        return Some(Refusal { why, exit: Exit::No });
    }
    let sound = read.request.selectors(config.purge.max_selectors);
    sound.err().map(|error| Refusal {
        why: format!("proxies would refuse it: {error} (purge.max_selectors)"),
        exit: Exit::Usage,
    })
}
