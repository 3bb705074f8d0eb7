//! The marks of the journal that are more than one identity: conditions and deploys.
//!
//! ```text
//! condition  lists of terms, all of | any of | none of: count u16 | terms
//! term       1 | host u128   3, 4 | page, path: three u128   5 | prefix   6 | tag: three u128
//!            7 | URL: count u16 | its identity and its classes, u128 each | host | path
//! deploy     host u128, name (none: zero, empty) | deployment u128, name | at, stale since and
//!            until: three u64 | is over u8 | gone, all and others: two u64 | spared u128 (none: zero)
//! ```

use std::sync::Arc;

use purge_protocol::{CanonicalUrl, UrlPrefix};

use super::codec::{Cursor, Put as _};
use crate::invalidation::{
    ConditionTerm, DeployMark, Gone, PathIds, PurgeCondition, Sequence, TagId, UrlTerm,
};
use process::timestamp::Timestamp;

pub(super) fn encode_condition(condition: &PurgeCondition, out: &mut Vec<u8>) {
    for terms in [&condition.all_of, &condition.any_of, &condition.none_of] {
        out.put_u16(u16::try_from(terms.len()).unwrap_or(u16::MAX));
        for term in terms {
            encode_term(term, out);
        }
    }
}

pub(super) fn decode_condition(cursor: &mut Cursor<'_>) -> Option<PurgeCondition> {
    let mut terms = || {
        let count = cursor.u16()?;
        let mut terms = Vec::new();
        for _ in 0..count {
            terms.push(decode_term(cursor)?);
        }
        Some(terms.into_boxed_slice())
    };
    let (all_of, any_of, none_of) = (terms()?, terms()?, terms()?);
    let is_positive = !all_of.is_empty() || !any_of.is_empty();
    is_positive.then_some(PurgeCondition { all_of, any_of, none_of })
}

fn encode_term(term: &ConditionTerm, out: &mut Vec<u8>) {
    let mut put_ids = |kind, ids: &[TagId]| {
        out.put_u8(kind);
        for id in ids {
            out.put_u128(id.bits());
        }
    };
    match term {
        ConditionTerm::Carried(id) => put_ids(1, &[*id]),
        ConditionTerm::Page(ids) => put_ids(3, &[ids.own, ids.page, ids.path]),
        ConditionTerm::Path(ids) => put_ids(4, &[ids.own, ids.page, ids.path]),
        ConditionTerm::Tag(id, [alike, any]) => put_ids(6, &[*id, *alike, *any]),
        ConditionTerm::Url(term) => {
            out.put_u8(7);
            out.put_u16(u16::try_from(term.ids().count()).unwrap_or(u16::MAX));
            for id in term.ids() {
                out.put_u128(id.bits());
            }
            for part in [term.url().host(), term.url().path()] {
                out.put_limited(part.as_bytes());
            }
        }
        ConditionTerm::Prefix(prefix) => {
            out.put_u8(5);
            out.put_limited(prefix.to_string().as_bytes());
        }
    }
}

fn decode_term(cursor: &mut Cursor<'_>) -> Option<ConditionTerm> {
    let kind = cursor.u8()?;
    if kind == 7 {
        return Some(ConditionTerm::Url(decode_url(cursor)?));
    }
    let mut id = || cursor.u128().map(TagId::from_bits);
    Some(match kind {
        1 => ConditionTerm::Carried(id()?),
        3 => ConditionTerm::Page(PathIds { own: id()?, page: id()?, path: id()? }),
        4 => ConditionTerm::Path(PathIds { own: id()?, page: id()?, path: id()? }),
        5 => {
            let text = std::str::from_utf8(cursor.long()?).ok()?;
            ConditionTerm::Prefix(UrlPrefix::read_back(text)?)
        }
        6 => ConditionTerm::Tag(id()?, [id()?, id()?]),
        _ => return None,
    })
}

fn decode_url(cursor: &mut Cursor<'_>) -> Option<UrlTerm> {
    let count = cursor.u16()?;
    let ids = (0..count).map(|_| cursor.u128().map(TagId::from_bits));
    let ids = ids.collect::<Option<Vec<_>>>()?;
    let mut part = || std::str::from_utf8(cursor.long()?).ok();
    let url = CanonicalUrl::from_parts(part()?, part()?).ok()?;
    UrlTerm::read_back(url, ids.into_iter())
}

pub(super) fn encode_deploy(deploy: &DeployMark, out: &mut Vec<u8>) {
    let (host, name) = match &deploy.host {
        Some((id, name)) => (id.bits(), &**name),
        None => (0, ""),
    };
    let texts = [(host, name), (deploy.deployment.bits(), &deploy.name)];
    for (id, text) in texts {
        out.put_u128(id);
        out.put_limited(text.as_bytes());
    }
    for time in [deploy.at, deploy.stale_since, deploy.until] {
        out.put_u64(time.as_millis());
    }
    out.put_u8(u8::from(deploy.is_over));
    let Gone { all, others, spared } = deploy.gone;
    for sequence in [all, others] {
        out.put_u64(sequence.number());
    }
    out.put_u128(spared.map_or(0, TagId::bits));
}

pub(super) fn decode_deploy(cursor: &mut Cursor<'_>) -> Option<DeployMark> {
    let mut named = || {
        let id = TagId::from_bits(cursor.u128()?);
        let text = std::str::from_utf8(cursor.long()?).ok()?;
        Some((id, Arc::<str>::from(text)))
    };
    let (host, (deployment, name)) = (named()?, named()?);
    let host = (!host.1.is_empty()).then_some(host);
    let mut time = || cursor.u64().map(Timestamp::from_millis);
    let (at, stale_since, until) = (time()?, time()?, time()?);
    let is_over = match cursor.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut sequence = || cursor.u64().map(Sequence::from_number);
    let (all, others) = (sequence()?, sequence()?);
    let spared = Some(cursor.u128()?).filter(|bits| *bits != 0).map(TagId::from_bits);
    let gone = Gone { all, others, spared };
    Some(DeployMark { host, deployment, name, at, stale_since, until, is_over, gone })
}

#[cfg(test)]
mod tests {
    use purge_protocol::Expression;

    use super::*;
    use crate::invalidation::{Invalidation, Subject};
    use crate::key::no_vary_search::SearchVariance;
    use crate::key::{Key, KeySeed, Scheme};

    fn url_ids(term: &ConditionTerm) -> Vec<TagId> {
        match term {
            ConditionTerm::Url(url) => url.ids().collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn conditions_and_deploys_are_read_back_as_they_were_written() {
        let invalidation = Invalidation::new(3);
        let terms = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let expression = Expression {
            all_of: terms(&["tag:a", "host:h", "url:h.example/a?x", "prefix:/b/"]),
            any_of: terms(&["page:h.example/p", "path:h.example/q"]),
            none_of: terms(&["tag:eu"]),
        };
        let condition = PurgeCondition::of(&expression.read().unwrap(), invalidation.ids());
        let mut bytes = Vec::new();
        encode_condition(&condition, &mut bytes);
        assert_eq!(decode_condition(&mut Cursor(&bytes)), Some(condition));
        let ids = invalidation.ids();
        let key = Key::new(KeySeed(1), Scheme::Https, b"h.example", b"/a?x=1");
        let variance = SearchVariance::only([]);
        let class = ids.declare(&key, &variance, || Sequence::from_number(1), drop).unwrap();
        let terms = Expression { all_of: terms(&["url:h.example/a?x=2"]), ..Expression::default() };
        let condition = PurgeCondition::of(&terms.read().unwrap(), ids);
        let mut bytes = Vec::new();
        encode_condition(&condition, &mut bytes);
        let read = decode_condition(&mut Cursor(&bytes)).unwrap();
        for (tags, expected) in [(&[class][..], true), (&[], false)] {
            let subject = Subject::new(&key, &tags, ids);
            assert_eq!(read.is_met(&subject), expected, "it means equivalent URLs");
        }
        assert_eq!(read.all_of.iter().flat_map(url_ids).nth(1), Some(class));
        for host in [None, Some((ids.host(b"h"), Arc::<str>::from("h")))] {
            let deploy = DeployMark {
                host,
                deployment: ids.deployment(b"b"),
                name: "b".into(),
                at: Timestamp::from_secs(2),
                stale_since: Timestamp::from_secs(1),
                until: Timestamp::from_secs(3),
                is_over: true,
                gone: Gone {
                    all: Sequence::from_number(3),
                    others: Sequence::from_number(4),
                    spared: Some(ids.deployment(b"b")),
                },
            };
            let mut bytes = Vec::new();
            encode_deploy(&deploy, &mut bytes);
            assert_eq!(decode_deploy(&mut Cursor(&bytes)), Some(deploy));
        }
    }
}
