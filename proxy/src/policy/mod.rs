//! Policy: the operator's settings, resolved for one request.
//!
//! ```text
//! Config ─► LiveSettings ──► SettingsSnapshot ─► Policies ─► RequestPolicy
//!           replaced as      copied by each     resolved     carried in the request's head:
//!           a whole          worker             once         key, cookies, freshness, tags; the
//!                                                            origin of a request that is forwarded
//! ```

pub mod cookies;
pub mod matcher;
mod live;
mod name_pattern_table;
mod own_fields;
mod policies;
pub mod query;
mod request_policy;
pub mod rules;
mod sites;
mod snapshot;
mod variants;

use std::sync::Arc;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};

pub use self::live::LiveSettings;
pub use self::own_fields::OwnFields;
pub use self::policies::Policies;
pub use self::request_policy::RequestPolicy;
pub use self::sites::{SiteId, Sites};
pub use self::snapshot::{SettingsSnapshot, is_fixed_at_start};

use self::cookies::CookieRules;
use self::query::QueryFilter;
use self::rules::{RuleEffects, edited};
use self::variants::VariantRules;
use crate::compression::Compression;
use crate::compression::form::{FORM, MADE_OF};
use crate::freshness::{self, Heuristic, Uncacheable};
use crate::key::declared_vary::{self, DeclaredVary};
use crate::key::no_vary_search::SearchVariance;
use crate::key::{Key, KeySeed, Scheme};
use crate::key::{derived, vary};
use settings::{EffectiveSettings, NoVarySearch};

/// In the response to an unsafe request: the groups that it invalidates (RFC 9875 §3).
pub const CACHE_GROUP_INVALIDATION: &str = "cache-group-invalidation";

#[derive(Clone, Debug)]
pub struct Policy {
    /// Cookies that select a variant, are dropped, or keep a request from the cache.
    pub cookies: Arc<CookieRules>,
    /// The part of a query that enters the key.
    pub query: Arc<QueryFilter>,
    /// The other fields that enter the key, or are reduced; `None` where there are none.
    pub variants: Option<Arc<VariantRules>>,
    /// Whether a response answers requests for URLs that are equivalent by its declaration.
    pub heeds_search_variance: bool,
    pub freshness: freshness::FreshnessRules,
    pub cache: settings::CacheSettings,
    pub tags: Arc<settings::TagSettings>,
    /// The response field that names the deployment which made a response.
    pub deployment: Option<HeaderName>,
    /// `None` where nothing is compressed.
    pub compression: Option<Arc<Compression>>,
    /// The effects of the rules that the request matches; `None` where none does.
    pub effects: Option<Box<RuleEffects>>,
}

/// Looks at the files that settings name: certificates, and what rules answer with.
pub fn inspect(config: &settings::Config) -> Vec<settings::Finding> {
    let mut findings = crate::tls::inspect(config);
    findings.extend(rules::inspect(config));
    findings.extend(tracing_without_export(config));
    findings
}

/// Returns what is wrong where spans are wanted of a program that exports none.
fn tracing_without_export(config: &settings::Config) -> Option<settings::Finding> {
    let is_without = config.tracing.endpoint.is_some() && cfg!(not(feature = "otlp"));
    is_without.then(|| settings::Finding {
        settings: vec![vec!["tracing".to_owned(), "endpoint".to_owned()]],
        is_warning: false,
        message: "`tracing.endpoint` is set, and this program was built without tracing".to_owned(),
        label: "nothing would be exported".to_owned(),
        help: Some("build it with `--features otlp`, or take the endpoint out".to_owned()),
    })
}

impl Policy {
    /// Makes the policy of these settings. Each area has one struct made of its table.
    pub fn new(settings: &EffectiveSettings) -> Self {
        let EffectiveSettings { cache, key, cookies, tags, compression } = settings;
        Self {
            cookies: Arc::new(CookieRules::new(cookies)),
            query: Arc::new(QueryFilter::new(&key.query)),
            variants: VariantRules::new(key).map(Arc::new),
            heeds_search_variance: key.no_vary_search == NoVarySearch::Heed,
            freshness: freshness_rules(cache),
            cache: cache.clone(),
            tags: Arc::new(tags.clone()),
            deployment: key.deployment.clone(),
            compression: Compression::new(compression).map(Arc::new),
            effects: None,
        }
    }

    /// Makes the policy of `settings`, which differ little from those of this policy, `own`. It
    /// shares what is made of equal tables.
    fn changed(&self, own: &EffectiveSettings, settings: &EffectiveSettings) -> Self {
        let mut changed = self.clone();
        let EffectiveSettings { cache, key, cookies, tags, compression } = settings;
        if *cache != own.cache {
            changed.freshness = freshness_rules(cache);
            changed.cache = cache.clone();
        }
        if *key != own.key {
            changed.query = Arc::new(QueryFilter::new(&key.query));
            changed.variants = VariantRules::new(key).map(Arc::new);
            changed.heeds_search_variance = key.no_vary_search == NoVarySearch::Heed;
            changed.deployment.clone_from(&key.deployment);
        }
        if *cookies != own.cookies {
            changed.cookies = Arc::new(CookieRules::new(cookies));
        }
        if *tags != own.tags {
            changed.tags = Arc::new(tags.clone());
        }
        if *compression != own.compression {
            changed.compression = Compression::new(compression).map(Arc::new);
        }
        changed
    }

    #[expect(clippy::unused_self, reason = "rules will choose what enters the key")]
    pub fn key(&self, seed: KeySeed, scheme: Scheme, host: &str, path: &str) -> Key {
        Key::new(seed, scheme, host.as_bytes(), path.as_bytes())
    }

    /// Brings the fields of a request that may be answered from the cache into the form that enters
    /// the key, and that the origin sees.
    pub fn reduce(&self, fields: &mut HeaderMap, path: &str) {
        self.cookies.reduce(fields);
        if let Some(variants) = &self.variants {
            variants.reduce(fields, path);
        }
    }

    /// Returns the fields that select the variant of a response. `known` are those that stored
    /// responses of its URL vary on.
    pub fn selecting(
        &self,
        response: &HeaderMap,
        known: Vec<HeaderName>,
    ) -> Result<Vec<HeaderName>, Uncacheable> {
        let mut names = vary::named(response).map_err(|_matches_nothing| Uncacheable::VaryStar)?;
        names.extend(known);
        let declared = DeclaredVary::of(response).map_err(|_unknown| Uncacheable::VaryStar)?;
        let DeclaredVary { fields, cookies, country, device, .. } = declared.unwrap_or_default();
        names.extend(fields);
        let variants = self.variants.as_deref();
        if country && !variants.is_some_and(VariantRules::knows_country) {
            return Err(Uncacheable::VaryStar);
        }
        names.extend(device.then_some(derived::DEVICE));
        if let Some(variants) = variants {
            variants.select(&mut names, response)?;
        }
        match cookies {
            None => names.extend_from_slice(self.cookies.selecting()),
            Some(cookies) => {
                names.retain(|name| *name != COOKIE);
                names.push(cookies);
            }
        }
        Ok(names)
    }

    /// Returns what a response declares about the query of its URL; `None`: all of it matters.
    pub fn search_variance(&self, response: &HeaderMap) -> Option<SearchVariance> {
        if !self.heeds_search_variance {
            return None;
        }
        match DeclaredVary::of(response) {
            Ok(Some(DeclaredVary { query: Some(query), .. })) => Some(query),
            _ => SearchVariance::of(response),
        }
    }

    pub fn public(&self, fields: &HeaderMap) -> HeaderMap {
        let mut public = fields.clone();
        for name in fields.keys().filter(|name| self.is_hidden(name)) {
            public.remove(name);
        }
        public
    }

    /// Returns whether a response field is meant for this cache and not for clients.
    pub fn is_hidden(&self, name: &HeaderName) -> bool {
        // `CDN-Cache-Control` is for the caches between us and the client as well (RFC 9213 §3.1).
        let is_ours = matches!(name.as_str(), "surrogate-control" | CACHE_GROUP_INVALIDATION)
            || *name == declared_vary::NAME;
        *name == FORM
            || *name == MADE_OF
            || self.cache.strip_cdn_cache_control && name == "cdn-cache-control"
            || self.tags.strip && (is_ours || self.tags.read.contains(name))
            || edited::is_note(name)
    }
}

fn freshness_rules(cache: &settings::CacheSettings) -> freshness::FreshnessRules {
    freshness::FreshnessRules {
        default_ttl: cache.default_ttl,
        heuristic: cache.heuristic.map(|it| Heuristic { share: it.share, max: it.max }),
        ttl_by_status: cache
            .ttl_by_status
            .iter()
            .map(|(codes, ttl)| (codes.codes(), *ttl))
            .collect(),
        stale_while_revalidate: cache.stale_while_revalidate,
        max_stale_while_revalidate: cache.max_stale_while_revalidate,
        stale_if_error: cache.stale_if_error,
        keep: cache.keep,
        asset_grace: cache.asset_grace,
        ignore_client_no_cache: cache.ignore_client_no_cache,
    }
}

#[cfg(test)]
mod tests {
    use settings::{Config, Sources};

    use super::*;

    fn settings(text: &str) -> EffectiveSettings {
        let text = format!("[origin.app]\nservers = [\"127.0.0.1:1\"]\n{text}");
        let file = Some(("test.toml".to_owned(), text));
        EffectiveSettings::of(&Config::load(&Sources { file, ..Sources::default() }).unwrap())
    }

    #[test]
    fn a_changed_policy_is_that_of_its_settings_and_shares_the_rest() {
        let own = settings("");
        let policy = Policy::new(&own);
        for text in [
            "",
            "[cache]\ndefault_ttl = \"7s\"",
            "[key.query]\nkeep = [\"q\"]",
            "[key]\nheaders = [\"x-a\"]\nno_vary_search = \"ignore\"",
            "[cookies]\nvary_on = [\"a\"]",
            "[tags]\nread = [\"x-t\"]",
            "[compression]\nmode = \"on\"",
        ] {
            let settings = settings(text);
            let changed = policy.changed(&own, &settings);
            let wanted = Policy::new(&settings);
            assert_eq!(format!("{changed:?}"), format!("{wanted:?}"), "{text}");
            let shares_cookies = Arc::ptr_eq(&changed.cookies, &policy.cookies);
            assert_eq!(shares_cookies, settings.cookies == own.cookies, "{text}");
        }
    }
}
