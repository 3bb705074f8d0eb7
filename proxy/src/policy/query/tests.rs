//! The query filter: what it drops and keeps, and that it changes no byte that stays.

use settings::NamePattern;

use super::*;

fn names(texts: &[&str]) -> Vec<NamePattern> {
    texts.iter().map(|text| NamePattern::new(text)).collect()
}

fn dropping(texts: &[&str]) -> QuerySettings {
    QuerySettings { parameters: QueryParameters::Drop(names(texts)), ..QuerySettings::default() }
}

fn keeping(texts: &[&str]) -> QuerySettings {
    QuerySettings { parameters: QueryParameters::Keep(names(texts)), ..QuerySettings::default() }
}

fn filtered(settings: &QuerySettings, target: &str) -> String {
    let filtered = QueryFilter::new(settings).apply(target);
    if let Some(filtered) = &filtered {
        assert_ne!(filtered.target, target, "a copy for nothing");
    }
    filtered.map_or_else(|| target.to_owned(), |filtered| filtered.target)
}

#[track_caller]
fn assert_filtered(settings: &QuerySettings, cases: &[(&str, &str)]) {
    for (target, expected) in cases {
        assert_eq!(filtered(settings, target), *expected, "{target}");
    }
}

#[test]
fn tracking_parameters_are_dropped_by_default() {
    assert_filtered(
        &QuerySettings::default(),
        &[
            ("/p?utm_source=x", "/p"),
            ("/p?id=1&utm_source=x&gclid=2", "/p?id=1"),
            ("/p?fbclid=&a=1&a=2&msclkid", "/p?a=1&a=2"),
            ("/p?source=x&GCLID=1&gclidx=2&utm=3", "/p?source=x&GCLID=1&gclidx=2&utm=3"),
            ("/p", "/p"),
        ],
    );
}

#[test]
fn what_stays_keeps_its_bytes_and_its_order() {
    assert_filtered(
        &dropping(&["x", "s_*"]),
        &[
            ("/p?b=%2B&x&a=%2b+%20&b=", "/p?b=%2B&a=%2b+%20&b="),
            ("/p?a=1?x=2&x=3?y", "/p?a=1?x=2"),
            ("/p?a=1;x=2&x=1;a=2", "/p?a=1;x=2"),
            ("/x?a=/x?x", "/x?a=/x?x"),
            ("/p?=x&s_=1&s&xx=x", "/p?=x&s&xx=x"),
        ],
    );
}

#[test]
fn a_query_from_which_nothing_is_dropped_is_not_touched() {
    let settings = dropping(&["x"]);
    for target in ["/p?", "/p?&", "/p?a=1&&b=2&", "/p?a&a", "/p??", "/p?x%", "*"] {
        assert!(QueryFilter::new(&settings).apply(target).is_none(), "{target}");
    }
    let all = QuerySettings { parameters: QueryParameters::Drop(vec![]), ..settings };
    assert!(QueryFilter::new(&all).apply("/p?utm_source=x&&x").is_none());
}

#[test]
fn empty_pieces_go_with_what_is_dropped_and_the_mark_with_the_last() {
    assert_filtered(
        &dropping(&["x"]),
        &[("/p?&x=1", "/p"), ("/p?x&&", "/p"), ("/p?a&&x&&b", "/p?a&b"), ("/?x", "/")],
    );
}

#[test]
fn a_name_is_compared_as_the_origin_decodes_it() {
    assert_filtered(
        &dropping(&["utm_*", "x[]"]),
        &[
            ("/p?utm%5Fsource=1&%75tm%5fmedium=2", "/p"),
            ("/p?x%5B%5D=1&x[]=2&x%255B%255D=3", "/p?x%255B%255D=3"),
            ("/p?utm%5=1&utm%=2", "/p?utm%5=1&utm%=2"),
        ],
    );
    assert_filtered(&keeping(&["page"]), &[("/p?p%61ge=2&x=1", "/p?p%61ge=2")]);
    assert_filtered(&keeping(&["größe"]), &[("/p?gr%C3%B6%C3%9Fe=m&x", "/p?gr%C3%B6%C3%9Fe=m")]);
}

#[test]
fn only_what_is_kept_stays_where_something_is() {
    assert_filtered(
        &keeping(&["page", "f[*"]),
        &[
            ("/p?utm_source=1&page=2&f[a]=1&Page=3&page=4", "/p?page=2&f[a]=1&page=4"),
            ("/p?", "/p"),
            ("/p?a;page=1", "/p"),
            ("/p?page=1;a=2&", "/p?page=1;a=2"),
        ],
    );
    let ignored = QuerySettings { parameters: QueryParameters::Ignored, ..keeping(&[]) };
    assert_filtered(&ignored, &[("/p?a=1", "/p"), ("/p?", "/p"), ("/p", "/p")]);
}

#[test]
fn sorting_is_by_name_and_leaves_those_of_one_name_in_their_order() {
    let settings = QuerySettings { sort: true, ..dropping(&["x"]) };
    assert_filtered(
        &settings,
        &[
            ("/p?b=1&a=2&b=0&a=1", "/p?a=2&a=1&b=1&b=0"),
            ("/p?a=2&%61=1&A", "/p?A&a=2&%61=1"),
            ("/p?b&x&a", "/p?a&b"),
            ("/p?a&&b", "/p?a&b"),
            ("/p?", "/p"),
            ("/p?a=2&a=1&b", "/p?a=2&a=1&b"),
        ],
    );
}

#[test]
fn what_was_dropped_is_remembered_only_to_be_reflected() {
    let settings = QuerySettings { reflect: true, sort: true, ..dropping(&["x", "y"]) };
    let filter = QueryFilter::new(&settings);
    let dropped = |target| filter.apply(target).unwrap().dropped;
    assert_eq!(dropped("/p?y=2&a&x=1&y=%2B").as_deref(), Some("y=2&x=1&y=%2B"));
    assert_eq!(dropped("/p?b&a"), None);
    assert_eq!(QueryFilter::new(&dropping(&["x"])).apply("/?x").unwrap().dropped, None);
}

proptest::proptest! {
    #[test]
    fn a_filter_takes_whole_parameters_out_and_nothing_else(
        query in "([abx_=;?+]|%61|%7|&){0,24}", sort: bool, keeps: bool,
    ) {
        let settings = if keeps { keeping(&["a", "b_*"]) } else { dropping(&["a", "x*"]) };
        let settings = QuerySettings { sort, reflect: true, ..settings };
        let target = format!("/p?{query}");
        let once = filtered(&settings, &target);
        proptest::prop_assert_eq!(&filtered(&settings, &once), &once, "idempotent");
        let pieces = |target: &str| {
            let query = target.split_once('?').map_or("", |(_, query)| query);
            query.split('&').filter(|piece| !piece.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let (mut kept, mut all) = (pieces(&once), pieces(&target));
        let dropped = QueryFilter::new(&settings).apply(&target).and_then(|it| it.dropped);
        let dropped = pieces(&format!("?{}", dropped.unwrap_or_default()));
        if !sort {
            let mut rest = all.iter();
            proptest::prop_assert!(kept.iter().all(|piece| rest.any(|other| other == piece)));
        }
        kept.extend(dropped);
        kept.sort();
        all.sort();
        proptest::prop_assert_eq!(kept, all);
    }
}
