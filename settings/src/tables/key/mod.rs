//! `[key]`: the parts of a request that tell responses apart.

mod country;
mod device_variants;
mod image_requests;
mod key_field;
mod languages;
mod no_vary_search;
mod vary_mode;

use http::HeaderName;

pub use self::device_variants::DeviceVariants;
pub use self::image_requests::ImageRequests;
pub use self::key_field::KeyField;
pub use self::no_vary_search::NoVarySearch;
pub use self::vary_mode::VaryMode;

use self::country::country;
use self::device_variants::DEVICE_VARIANTS;
use self::image_requests::IMAGE_REQUESTS;
use self::key_field::{key_field, key_field_of};
use self::languages::language;
use self::no_vary_search::NO_VARY_SEARCH;
use super::deployment;
use super::query::QuerySettings;
use crate::table::Table;
use crate::value::{Fault, choice, parsed};

/// The parts of a request that enter the key, beside scheme, host and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySettings {
    /// `query`.
    pub query: QuerySettings,
    /// `deployment.header`: the response field that names the deployment which made a response.
    pub deployment: Option<HeaderName>,
    /// `headers`: request fields that enter the key. Each combination of values is another stored
    /// response.
    pub headers: Vec<KeyField>,
    /// `device`: whether kinds of devices are told apart.
    pub device: DeviceVariants,
    /// `country`: a field in which a trusted peer names the client's country.
    pub country: Option<KeyField>,
    /// `languages`: those that the site has, the default one first. Empty: they are not chosen
    /// here.
    pub languages: Vec<String>,
    /// `images`: the requests whose `Accept` is reduced to image formats.
    pub images: ImageRequests,
    /// `no_vary_search`: the use of what a response declares about its query.
    pub no_vary_search: NoVarySearch,
    /// `vary`: what a field means that a response names in `Vary`.
    pub vary: Vec<(HeaderName, VaryMode)>,
}

impl KeySettings {
    /// Reads `[key]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        self.query.read(table);
        deployment::read(&mut self.deployment, table);
        let any = parsed(key_field_of);
        let listed = |table: &mut Table<'_>| key_field(table);
        table.read_tables_or("headers", any, listed, &mut self.headers);
        if self.headers.len() > FIELDS_MAX {
            let fault = Fault::new(format!("may name {FIELDS_MAX} fields"), "too many");
            table.fault_of("headers", fault.help("each multiplies the variants of a page"));
        }
        table.read("device", choice(&DEVICE_VARIANTS), &mut self.device);
        table.table("country", |table| country(&mut self.country, table));
        table.read_each("languages", parsed(language), &mut self.languages);
        if self.languages.len() > LANGUAGES_MAX {
            let fault = Fault::new(format!("may name {LANGUAGES_MAX} languages"), "too many");
            table.fault_of("languages", fault);
        }
        table.read("no_vary_search", choice(&NO_VARY_SEARCH), &mut self.no_vary_search);
        table.read("images", choice(&IMAGE_REQUESTS), &mut self.images);
        vary_mode::read(&mut self.vary, table);
    }
}

const FIELDS_MAX: usize = 16;
const LANGUAGES_MAX: usize = 64;
