//! `/api/v1/tags`: what the purges of each tag cost.

use std::cmp::Reverse;

use http::{Response, StatusCode};
use serde_json::json;

use super::origins::decoded;
use crate::app::App;
use crate::live::snapshot::TagUse;
use crate::live::tags::TAGS_MAX;
use crate::purge::endpoint::{json, problem};
use crate::response::body::ResponseBody;

/// The order of tags, the one that costs most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagOrder {
    /// Purges and renders together.
    Cost,
    Renders,
    Pages,
    Bytes,
    Purges,
}

#[derive(Debug, PartialEq, Eq)]
struct TagsQuery {
    order: TagOrder,
    limit: usize,
    tag: Option<String>,
}

impl TagsQuery {
    fn parse(query: &str) -> Option<Self> {
        let mut read = Self { order: TagOrder::Cost, limit: LIMIT_DEFAULT, tag: None };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=')? {
                ("by", word) => {
                    let mut orders = ORDERS.iter();
                    read.order = orders.find(|(name, _)| *name == word).map(|(_, order)| *order)?;
                }
                ("limit", text) => {
                    read.limit =
                        text.parse().ok().filter(|limit| (1..=TAGS_MAX).contains(limit))?;
                }
                ("tag", text) => read.tag = Some(decoded(text)).filter(|tag| !tag.is_empty()),
                _ => return None,
            }
        }
        Some(read)
    }
}

pub(super) fn page(app: &App, query: Option<&str>) -> Response<ResponseBody> {
    let Some(TagsQuery { order, limit, tag }) = TagsQuery::parse(query.unwrap_or_default()) else {
        let names: Vec<_> = ORDERS.iter().map(|(name, _)| *name).collect();
        let detail = format!(
            "The parameters are by ({}), limit, 1 to {TAGS_MAX}, and tag.",
            names.join(", ")
        );
        return problem(StatusCode::BAD_REQUEST, &detail);
    };
    let tags = match tag {
        None => tags(app, limit, order),
        Some(tag) => {
            let known = tags(app, TAGS_MAX, order).into_iter().find(|known| known.tag == tag);
            vec![known.unwrap_or_else(|| TagUse {
                pages: pages(app, &tag),
                tag,
                ..TagUse::default()
            })]
        }
    };
    let document = json!({"tags": tags});
    json(StatusCode::OK, document.to_string().into_bytes(), "application/json")
}

/// Returns the tags that were purged, and what that cost. Only one whose purges are remembered is
/// among them: stored responses know their tags by hashes.
pub(super) fn tags(app: &App, limit: usize, order: TagOrder) -> Vec<TagUse> {
    let now = app.clock().now();
    let listed = app.live.tags.list(TAGS_MAX).into_iter();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let shown = listed.map(|(tag, costs)| TagUse {
        pages: pages(app, &tag),
        purges_per_hour: costs.purges_of_hour(now) as f64,
        renders: costs.renders,
        bytes: costs.bytes,
        stale_served: costs.stale_served,
        tag,
    });
    let mut all: Vec<_> = shown.collect();
    sort(&mut all, order);
    all.truncate(limit);
    all
}

fn sort(all: &mut [TagUse], order: TagOrder) {
    match order {
        TagOrder::Cost => {}
        TagOrder::Renders => all.sort_by_key(|tag| Reverse(tag.renders)),
        TagOrder::Pages => all.sort_by_key(|tag| Reverse(tag.pages)),
        TagOrder::Bytes => all.sort_by_key(|tag| Reverse(tag.bytes)),
        TagOrder::Purges => {
            all.sort_by(|one, other| other.purges_per_hour.total_cmp(&one.purges_per_hour));
        }
    }
}

/// Returns the number of stored responses in memory that carry a tag.
fn pages(app: &App, tag: &str) -> u64 {
    let ids = app.invalidation.ids();
    ids.live(ids.tag(tag.as_bytes()))
}

pub(super) const PATH: &str = "/api/v1/tags";
const LIMIT_DEFAULT: usize = 100;
const ORDERS: [(&str, TagOrder); 5] = [
    ("cost", TagOrder::Cost),
    ("renders", TagOrder::Renders),
    ("pages", TagOrder::Pages),
    ("bytes", TagOrder::Bytes),
    ("purges", TagOrder::Purges),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_many_tags_and_in_which_order() {
        let of = |order, limit, tag: &str| TagsQuery {
            order,
            limit,
            tag: (!tag.is_empty()).then(|| tag.to_owned()),
        };
        assert_eq!(TagsQuery::parse(""), Some(of(TagOrder::Cost, 100, "")));
        let read = TagsQuery::parse("by=renders&limit=5&tag=a%26b");
        assert_eq!(read, Some(of(TagOrder::Renders, 5, "a&b")));
        for wrong in ["by=size", "limit=0", "limit=1001", "by", "other=1"] {
            assert_eq!(TagsQuery::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_tag_with_most_of_what_is_asked_for_comes_first() {
        let tag = |tag: &str, renders, pages, bytes, purges_per_hour| TagUse {
            tag: tag.to_owned(),
            renders,
            pages,
            bytes,
            purges_per_hour,
            stale_served: 0,
        };
        let all = [
            tag("a", 9, 1, 1, 1.0),
            tag("b", 1, 9, 1, 1.0),
            tag("c", 1, 1, 9, 1.0),
            tag("d", 1, 1, 1, 9.0),
        ];
        for (order, first) in [
            (TagOrder::Renders, "a"),
            (TagOrder::Pages, "b"),
            (TagOrder::Bytes, "c"),
            (TagOrder::Purges, "d"),
        ] {
            let mut sorted = all.to_vec();
            sort(&mut sorted, order);
            assert_eq!(sorted[0].tag, first);
        }
    }
}
