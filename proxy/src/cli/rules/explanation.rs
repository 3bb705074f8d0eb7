//! `Explanation`: what rules make of one request, and which of them decided what.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use serde_json::{Value, json};
use settings::{Config, RuleSettings};

use crate::client::end_address::EndAddress;
use crate::client::peer::Peer;
use crate::key::{KeySeed, Scheme};
use crate::policy::{LiveSettings, RequestPolicy};
use crate::request::ruled;
use crate::request::target::Target;

/// A request, before it is sent.
#[derive(Clone, Debug)]
pub(super) struct RuleQuestion {
    pub(super) url: String,
    pub(super) method: Method,
    pub(super) fields: HeaderMap,
    pub(super) client: Option<IpAddr>,
}

/// The effect of rules on a request.
#[derive(Debug)]
pub(super) struct Explanation {
    request: String,
    pub(super) rules: Vec<String>,
    pub(super) decision: String,
    pub(super) key: String,
    /// The response is kept apart from others of the URL.
    is_apart: bool,
    pub(super) origin: Option<String>,
    things: Vec<DecidedThing>,
}

/// A thing that a rule has decided.
#[derive(Debug)]
struct DecidedThing {
    thing: String,
    value: String,
    rule: String,
    /// The conditions on the response under which it is decided.
    condition: Option<String>,
}

impl Explanation {
    /// Resolves a request as the proxy does.
    pub(super) fn of(config: &Config, question: RuleQuestion) -> Result<Self, String> {
        let RuleQuestion { url, method, mut fields, client } = question;
        let request = format!("{method} {url}");
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let authority = uri.authority().ok_or_else(|| format!("{url} has no host"))?;
        let host = HeaderValue::try_from(authority.as_str());
        fields.insert(HOST, host.map_err(|_malformed| format!("{url} has no host"))?);
        let scheme = if uri.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
        let peer = peer(scheme == Scheme::Https);
        let (mut parts, ()) =
            Request::builder().method(method.clone()).uri(uri).body(()).map_err(text)?.into_parts();
        parts.headers = fields;
        let settings = LiveSettings::new(config).current();
        let mut target = Target::read(&parts, &peer, settings.limits.max_url)
            .map_err(|error| error.to_string())?;
        let (mut policy, apart) =
            ruled::apply(settings, (&method, client, Some(&peer)), &mut target, &mut parts.headers)
                .map_err(|error| error.to_string())?;
        let (host, path) = (target.host(), target.path());
        let key = policy.key(KeySeed(0), scheme, host, path).to_string();
        policy.claim(host, path);
        let origin = policy.origin_name().map(str::to_owned);
        let decision = decision(&policy, &method, &parts.headers, (host, path));
        let list = policy.settings().policies.list();
        let matched: Vec<&RuleSettings> = policy
            .effects()
            .iter()
            .flat_map(|effects| effects.matched())
            .filter_map(|place| list.get(usize::from(*place)))
            .collect();
        Ok(Self {
            request,
            rules: matched.iter().map(|rule| rule.name.clone()).collect(),
            decision,
            key,
            is_apart: apart.is_some(),
            origin,
            things: decided(&matched),
        })
    }

    pub(super) fn document(&self) -> Value {
        let thing = |it: &DecidedThing| {
            json!({
                "setting": it.thing,
                "value": it.value,
                "rule": it.rule,
                "if_response": it.condition,
            })
        };
        json!({
            "request": self.request,
            "rules": self.rules,
            "decision": self.decision,
            "key": self.key,
            "apart": self.is_apart,
            "origin": self.origin,
            "settings": self.things.iter().map(thing).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = if self.rules.is_empty() { "none".to_owned() } else { self.rules.join(", ") };
        writeln!(f, "{}", self.request)?;
        writeln!(f, "rules     {rules}")?;
        writeln!(f, "decision  {}", self.decision)?;
        let apart =
            if self.is_apart { " (apart from requests that other rules match)" } else { "" };
        writeln!(f, "key       {}{apart}", self.key)?;
        writeln!(f, "origin    {}", self.origin.as_deref().unwrap_or("none"))?;
        for DecidedThing { thing, value, rule, condition } in &self.things {
            let condition =
                condition.as_ref().map(|condition| format!(", if {condition}")).unwrap_or_default();
            writeln!(f, "  {thing:<28} {value:<32} {rule}{condition}")?;
        }
        Ok(())
    }
}

/// Returns the things that rules decide, each once unless a condition on the response leaves it
/// open.
fn decided(matched: &[&RuleSettings]) -> Vec<DecidedThing> {
    let mut things: Vec<DecidedThing> = Vec::new();
    for rule in matched {
        let condition = (!rule.response.is_empty()).then(|| rule.written_response());
        for thing in rule.things() {
            let is_decided =
                things.iter().any(|other| other.thing == thing && other.condition.is_none());
            if !is_decided {
                let (value, rule) = (rule.written(&thing), rule.name.clone());
                things.push(DecidedThing { thing, value, rule, condition: condition.clone() });
            }
        }
    }
    things
}

fn decision(
    policy: &RequestPolicy,
    method: &Method,
    fields: &HeaderMap,
    (host, path): (&str, &str),
) -> String {
    if let Some(answer) = policy.effects().and_then(|effects| effects.answer(host, path)) {
        return answer.status.as_u16().to_string();
    }
    let is_bypassed = *method != Method::GET && *method != Method::HEAD
        || policy.effects().is_some_and(crate::policy::rules::RuleEffects::bypasses)
        || !policy.cookies.allow_cache(fields);
    let word = match (is_bypassed, policy.is_only_stored()) {
        (true, _) => "bypass",
        (false, true) => "stored",
        (false, false) => "cache",
    };
    word.to_owned()
}

fn peer(is_secure: bool) -> Arc<Peer> {
    let nowhere = EndAddress::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    Arc::new(Peer {
        remote: nowhere,
        local: nowhere,
        is_trusted: false,
        is_secure,
        listener: None,
        retained: Arc::default(),
        claims: Arc::default(),
    })
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use settings::Sources;

    use super::*;

    fn config(rules: &str) -> Config {
        let origins = "[origin.app]\nservers = [\"a:1\"]\n[origin.api]\nservers = [\"a:2\"]\n";
        let file = Some(("config.toml".to_owned(), format!("{origins}{rules}")));
        Config::load(&Sources { file, ..Sources::default() }).unwrap()
    }

    fn explained(rules: &str, url: &str, lines: &[(&'static str, &'static str)]) -> Explanation {
        let line = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let fields = lines.iter().map(line).collect();
        let question =
            RuleQuestion { url: url.to_owned(), method: Method::GET, fields, client: None };
        Explanation::of(&config(rules), question).unwrap()
    }

    #[test]
    fn an_explanation_names_the_rule_that_decided_each_thing() {
        let rules = "[[rule]]\nname = \"missing\"\nstatus = 404\nttl = \"10s\"\n\
             [[rule]]\nname = \"pages\"\npath = \"/p/*\"\nttl = \"1h\"\nkey.query.keep = [\"page\"]\n\
             [[rule]]\nname = \"all\"\nttl = \"1m\"\norigin = \"api\"\n";
        let page =
            explained(rules, "https://Shop.example/p/42?utm_source=x&page=2", &[]).to_string();
        insta::assert_snapshot!(page, @r##"
        GET https://Shop.example/p/42?utm_source=x&page=2
        rules     missing, pages, all
        decision  cache
        key       https://shop.example/p/42?page=2
        origin    api
          ttl                          10s                              missing, if status = 404
          key.query.keep               [page]                           pages
          ttl                          1h                               pages
          origin                       api                              all
        "##);
    }

    #[test]
    fn a_decision_is_the_one_that_the_proxy_makes() {
        let rules = "[[rule]]\npath = \"/robots.txt\"\nrespond.body = \"x\"\n\
             [[rule]]\npath = \"/admin/**\"\nbypass = true\n\
             [[rule]]\nheader = { x-stored = \"*\" }\norigin = \"none\"\n";
        for (path, lines, expected) in [
            ("/robots.txt", &[][..], "200"),
            ("/admin/", &[], "bypass"),
            ("/", &[("x-stored", "1")], "stored"),
            ("/", &[("cookie", "session=1")], "bypass"),
            ("/", &[("cookie", "_ga=1")], "cache"),
        ] {
            let url = format!("http://a.example{path}");
            assert_eq!(explained(rules, &url, lines).decision, expected, "{path} {lines:?}");
        }
    }
}
