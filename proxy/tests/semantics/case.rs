//! `Case`: one exchange that may be stored, and a later request that may be answered from the
//! store.

use http::{HeaderMap, HeaderName, HeaderValue};
use process::timestamp::Timestamp;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{Just, Strategy};
use proptest::prop_oneof;
use proptest::sample::select;
use shellac::testing::field::http_date;

/// 1994-11-06 08:49:37, when every response arrives.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(784_111_777);

pub(crate) type Line = (&'static str, String);

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) status: u16,
    /// The request whose response may be stored.
    pub(crate) request: Vec<Line>,
    pub(crate) response: Vec<Line>,
    pub(crate) later: Vec<Line>,
    /// Seconds that the origin server took.
    pub(crate) delay: u64,
    /// Seconds from the response to the later request.
    pub(crate) after: u64,
}

impl Case {
    /// Returns the values of a field's lines in the response.
    pub(crate) fn said(&self, name: &str) -> impl Iterator<Item = &str> {
        lines(&self.response, name)
    }

    /// Returns the members of `Cache-Control` of the response, cut at every comma.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.said("cache-control").flat_map(|line| line.split(',')).map(str::trim)
    }

    /// Returns whether a directive is among them, whatever its case and its argument.
    pub(crate) fn says(&self, directive: &str) -> bool {
        self.members().any(|member| name_of(member).eq_ignore_ascii_case(directive))
    }

    /// Returns the members of `Cache-Control` of both requests.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &str> {
        let both = self.request.iter().chain(&self.later);
        both.filter(|(name, _)| *name == "cache-control")
            .flat_map(|(_, line)| line.split(','))
            .map(str::trim)
    }
}

/// Returns what stands before a directive's argument.
pub(crate) fn name_of(member: &str) -> &str {
    member.split(['=', ' ', ';']).next().unwrap_or(member)
}

pub(crate) fn lines<'a>(head: &'a [Line], name: &str) -> impl Iterator<Item = &'a str> {
    head.iter().filter(move |(field, _)| *field == name).map(|(_, value)| value.as_str())
}

/// Returns the head of these lines; what is not ASCII is sent as Latin-1 has it.
pub(crate) fn head(lines: &[Line]) -> HeaderMap {
    let mut head = HeaderMap::new();
    for (name, value) in lines {
        let bytes: Vec<u8> = value.chars().map(|letter| letter as u8).collect();
        head.append(HeaderName::from_static(name), HeaderValue::from_bytes(&bytes).unwrap());
    }
    head
}

/// Returns a date so many seconds after [`NOW`].
pub(crate) fn date(seconds: i64) -> String {
    let moment = Timestamp::from_secs(NOW.as_secs().checked_add_signed(seconds).unwrap());
    http_date::format(moment).to_str().unwrap().to_owned()
}

/// All cases: most of them are of the kind that is seen every day.
pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let status = prop_oneof![
        16 => Just(200_u16),
        3 => select(vec![203, 204, 300, 301, 302, 307, 308, 404, 405, 410]),
        1 => select(vec![201, 206, 303, 400, 401, 403, 413, 414, 418, 429, 431, 500, 501, 503, 599]),
    ];
    let delay = prop_oneof![24 => Just(0_u64), 1 => 1_u64..4];
    let after = select(vec![0, 1, 5, 9, 10, 11, 30, 59, 60, 61, 100, 599, 600, 3600, 90_000]);
    let texts = (status, request(), response(), request(), delay, after);
    texts.prop_map(|(status, request, response, later, delay, after)| Case {
        status,
        request,
        response,
        later,
        delay,
        after,
    })
}

fn request() -> impl Strategy<Value = Vec<Line>> {
    let directives = prop_oneof![
        8 => select(vec![
            "no-cache", "max-age=0", "max-age=10", "max-age=60", "min-fresh=10", "max-age=3600",
            "only-if-cached", "no-transform", "min-fresh=\"5\"", "max-age=x",
        ]),
        1 => select(vec![
            "no-store", "max-stale", "max-stale=60", "No-Cache", "Max-Age=0", "max-age=5, max-age=x",
            "max-age=x, max-age=5", "max-age= 5", "max-age=+5", "max-age=\"5", "x=\"a, no-cache, b\"",
            "no-cache;x", "no-cache é", "max-age=99999999999999999999",
        ]),
    ];
    (
        weighted(0.2, list(directives, 3)).prop_map(|value| line("cache-control", value)),
        weighted(0.02, select(vec!["no-cache", "No-Cache", "x"])).prop_map(|v| line("pragma", v)),
        weighted(0.02, Just("Basic YTpi")).prop_map(|value| line("authorization", value)),
        weighted(0.3, select(vec!["1", "2"])).prop_map(|value| line("x-a", value)),
        weighted(0.1, select(vec!["1", "1", "1", "a, b", "a,b"])).prop_map(|v| line("x-b", v)),
        weighted(0.02, select(vec!["1", "2"])).prop_map(|value| line("x-a", value)),
    )
        .prop_map(|(one, two, three, four, five, six)| {
            [one, two, three, four, five, six].into_iter().flatten().collect()
        })
}

fn response() -> impl Strategy<Value = Vec<Line>> {
    let control = || list(directives(), 4).prop_map(|value| line("cache-control", Some(value)));
    let control = (weighted(0.85, control()), weighted(0.1, control()))
        .prop_map(|(one, two)| [one.flatten(), two.flatten()]);
    let dates = (
        weighted(0.5, near_dates()).prop_map(|value| line("date", value)),
        weighted(0.2, expiries()).prop_map(|value| line("expires", value)),
        weighted(0.01, expiries()).prop_map(|value| line("expires", value)),
        weighted(0.35, changes()).prop_map(|value| line("last-modified", value)),
    );
    let rest = (
        weighted(0.9, Just("\"a\"")).prop_map(|value| line("etag", value)),
        weighted(0.15, ages()).prop_map(|value| line("age", value)),
        weighted(0.25, varies()).prop_map(|value| line("vary", value)),
        weighted(0.02, varies()).prop_map(|value| line("vary", value)),
        weighted(0.02, Just("a=b")).prop_map(|value| line("set-cookie", value)),
        weighted(0.02, Just("no-cache")).prop_map(|value| line("pragma", value)),
        weighted(0.01, targeted()),
    );
    (control, dates, rest).prop_map(|(control, dates, rest)| {
        let mut all: Vec<Line> = control.into_iter().flatten().collect();
        all.extend([dates.0, dates.1, dates.2, dates.3].into_iter().flatten());
        all.extend([rest.0, rest.1, rest.2, rest.3, rest.4, rest.5].into_iter().flatten());
        all.extend(rest.6);
        all
    })
}

fn directives() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        60 => select(vec!["max-age=60", "max-age=10", "max-age=600", "max-age=3600", "max-age=0"]),
        30 => select(vec![
            "public", "must-revalidate", "s-maxage=60", "s-maxage=10", "s-maxage=0", "no-transform",
            "immutable", "x=y", "max-age=\"60\"", "max-age=060", "stale-if-error=60",
            "stale-while-revalidate=30", "s-maxage=\"60\"", "x=\"no-store\"", "max-age=60s",
        ]),
        8 => select(vec!["no-store", "private", "no-cache", "no-store=1", "public=x", "max-age="]),
        2 => select(vec![
            "Max-Age=60", "No-Store", "PRIVATE", "No-Cache", "S-MaxAge=60", "Public",
            "proxy-revalidate", "must-understand", "no-cache=\"x\"", "private=\"x, y\"", "max-age",
            "s-maxage", "max-age= 60", "max-age =60", "s-maxage = 60", "max-age=+60", "max-age=\"60",
            "max-age=99999999999", "s-maxage=99999999999999999999", "x=\"a, no-store, b\"",
            "x=\"a, max-age=5, b\"", "no-store;x", "private x", "no-store, x=é", "max-age 60",
            "must-understand, no-store",
        ]),
    ]
}

fn near_dates() -> impl Strategy<Value = String> {
    prop_oneof![
        24 => select(vec![0, 0, 0, 1, -1, 30]).prop_map(date),
        1 => select(vec![-2, -30, -3600]).prop_map(date),
        1 => odd_dates(),
    ]
}

fn expiries() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => select(vec![60, 10, 3600, 0, -60, 600]).prop_map(date),
        2 => select(vec!["0", "-1", "", "never", "2094-11-06T08:49:37Z"]).prop_map(str::to_owned),
        1 => odd_dates(),
    ]
}

fn changes() -> impl Strategy<Value = String> {
    prop_oneof![
        24 => select(vec![-600, -100, -6000, -36_000, 60, -9]).prop_map(date),
        1 => Just(date(-100 * 86_400)),
        1 => odd_dates(),
    ]
}

/// Dates a minute ahead that only one of the two reads.
fn odd_dates() -> impl Strategy<Value = String> {
    select(vec![
        "Sunday, 06-Nov-94 08:50:37 GMT",
        "Sun Nov  6 08:50:37 1994",
        "sun, 06 nov 1994 08:50:37 gmt",
        "Sun, 06 Nov 1994 08:50:37 +0000",
        "Sun, 06 Nov 1994 09:50:37 +0100",
        "Sun, 06 Nov 1994 08:50:37 UTC",
        "Mon, 06 Nov 1994 08:50:37 GMT",
        "Sun, 06 Nov 1994 08:50 GMT",
        "06 Nov 1994 08:50:37 GMT",
    ])
    .prop_map(str::to_owned)
}

fn ages() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        12 => select(vec!["0", "5", "10", "59", "60", "x", "-1", "7.5", ""]),
        1 => select(vec!["7, 9", "+7", "9999999999"]),
    ]
}

fn varies() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        16 => select(vec!["x-a", "X-A", "x-a, x-b", "x-c", " x-b,,x-a "]),
        1 => select(vec!["*", "x-a, *", "x a", "via", "host"]),
    ]
}

fn targeted() -> impl Strategy<Value = Line> {
    select(vec![
        ("cdn-cache-control", "max-age=30"),
        ("cdn-cache-control", "no-store"),
        ("surrogate-control", "max-age=30+30"),
        ("surrogate-control", "no-store"),
    ])
    .prop_map(|(name, value)| (name, value.to_owned()))
}

fn list(
    member: impl Strategy<Value = &'static str>,
    members_max: usize,
) -> impl Strategy<Value = String> {
    let separator = select(vec![", ", ", ", ",", " , ", ",,", ",\t"]);
    (vec(member, 1..members_max), separator).prop_map(|(members, comma)| members.join(comma))
}

fn line(name: &'static str, value: Option<impl Into<String>>) -> Option<Line> {
    Some((name, value?.into()))
}
