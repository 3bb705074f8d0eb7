//! `VariantRules`: the request fields that enter the key, or are reduced before they are compared.
//!
//! In two steps. [`VariantRules::prepare`] is for every request: the origin is told the kind of
//! device, and a country by those only who know it. [`VariantRules::reduce`] is for requests that
//! may be answered from the cache: the origin sees of a field what enters the key.

use http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use settings::{DeviceVariants, ImageRequests, KeyField, KeySettings, VaryMode};

use crate::freshness::{ResponseDirectives, Uncacheable};
use crate::key::accept_image::{is_image_path, normalize_accept_image};
use crate::key::device_class::{DeviceKind, normalize_user_agent};
use crate::key::language_choice;
use crate::key::vary::RAW_LANGUAGE;

/// The settings of `[key]` beside those of the query.
#[derive(Clone, Debug)]
pub struct VariantRules {
    /// The fields with lists of values: those of `key.headers`, and the country.
    fields: Box<[ListedField]>,
    country: Option<HeaderName>,
    device: DeviceVariants,
    languages: Box<[Box<str>]>,
    images: ImageRequests,
    reduces_user_agent: bool,
    modes: Box<[(HeaderName, VaryMode)]>,
    /// The fields that select a variant of every response.
    selecting: Box<[HeaderName]>,
}

#[derive(Clone, Debug)]
struct ListedField {
    name: HeaderName,
    /// Those that count, as they are forwarded. Empty: all do.
    values: Box<[HeaderValue]>,
    ignores_case: bool,
}

impl VariantRules {
    /// Returns `None` where nothing is set.
    pub(super) fn new(settings: &KeySettings) -> Option<Self> {
        let KeySettings { headers, device, country, languages, images, vary, .. } = settings;
        let mode_of = |field: &HeaderName| vary.iter().find(|(name, _)| name == field);
        let is_normalized =
            |field| mode_of(&field).is_some_and(|(_, mode)| *mode == VaryMode::Normalize);
        let images = match images {
            ImageRequests::Off if is_normalized(ACCEPT) => ImageRequests::ByExtension,
            images => *images,
        };
        let mut fields: Vec<_> =
            headers.iter().map(|field| ListedField::new(field, false)).collect();
        fields.extend(country.iter().map(|country| ListedField::new(country, true)));
        let mut selecting: Vec<_> = fields.iter().map(|field| field.name.clone()).collect();
        if *device != DeviceVariants::Off {
            selecting.push(UA_DEVICE);
        }
        if !languages.is_empty() {
            selecting.push(ACCEPT_LANGUAGE);
        }
        let rules = Self {
            fields: fields.into(),
            country: country.as_ref().map(|country| country.name.clone()),
            device: *device,
            languages: languages.iter().map(|language| language.as_str().into()).collect(),
            images,
            reduces_user_agent: is_normalized(USER_AGENT),
            modes: vary.as_slice().into(),
            selecting: selecting.into(),
        };
        let is_set = !rules.selecting.is_empty()
            || rules.images != ImageRequests::Off
            || !rules.modes.is_empty();
        is_set.then_some(rules)
    }

    /// Returns whether a field names the country.
    pub(super) const fn knows_country(&self) -> bool {
        self.country.is_some()
    }

    /// Tells the origin the kind of device, and takes away a country that nobody has said who may.
    pub fn prepare(&self, fields: &mut HeaderMap, is_trusted: bool) {
        if let Some(country) = self.country.as_ref().filter(|_| !is_trusted) {
            fields.remove(country);
        }
        let kind = match (self.device, DeviceKind::of(fields)) {
            (DeviceVariants::Off, _) => return,
            (DeviceVariants::MobileDesktop, DeviceKind::Tablet) => DeviceKind::Desktop,
            (_, kind) => kind,
        };
        fields.insert(UA_DEVICE, HeaderValue::from_static(kind.as_str()));
    }

    /// Brings the fields of a request into the form that enters the key. Done twice, it changes
    /// nothing more.
    pub(super) fn reduce(&self, fields: &mut HeaderMap, path: &str) {
        self.fields.iter().for_each(|field| field.reduce(fields));
        if let Some(language) = language_choice::choose(&self.languages, fields)
            && let Ok(language) = HeaderValue::from_str(language)
        {
            fields.insert(ACCEPT_LANGUAGE, language);
        }
        let is_image = match self.images {
            ImageRequests::Off => false,
            ImageRequests::ByExtension => is_image_path(path.as_bytes()),
            ImageRequests::All => true,
        };
        if is_image {
            normalize_accept_image(fields);
        }
        if self.reduces_user_agent {
            normalize_user_agent(fields);
        }
    }

    /// Gives the fields that a response varies on the meaning that settings give them, and adds
    /// those that select a variant of every response.
    pub(super) fn select(
        &self,
        names: &mut Vec<HeaderName>,
        response: &HeaderMap,
    ) -> Result<(), Uncacheable> {
        for (field, mode) in &self.modes {
            if !names.contains(field) {
                continue;
            }
            match mode {
                VaryMode::Bypass => return Err(Uncacheable::VaryBypass),
                VaryMode::Raw if *field == ACCEPT_LANGUAGE && self.languages.is_empty() => {
                    names.retain(|name| name != field);
                    names.push(RAW_LANGUAGE);
                }
                VaryMode::Raw | VaryMode::Normalize => {}
                VaryMode::IgnoreIfPublic => {
                    if ResponseDirectives::of(response).is_public() {
                        names.retain(|name| name != field);
                    }
                }
            }
        }
        names.extend_from_slice(&self.selecting);
        Ok(())
    }
}

impl ListedField {
    fn new(field: &KeyField, ignores_case: bool) -> Self {
        let values = field.values.iter().filter_map(|value| HeaderValue::from_str(value).ok());
        Self { name: field.name.clone(), values: values.collect(), ignores_case }
    }

    /// Puts `other` in the place of a value that does not count.
    fn reduce(&self, fields: &mut HeaderMap) {
        let mut lines = fields.get_all(&self.name).iter();
        let (Some(line), more) = (lines.next(), lines.next()) else { return };
        if self.values.is_empty() {
            return;
        }
        let value = line.as_bytes().trim_ascii();
        let is_it = |own: &&HeaderValue| {
            let own = own.as_bytes();
            own == value || self.ignores_case && own.eq_ignore_ascii_case(value)
        };
        let listed = self.values.iter().find(is_it).filter(|_| more.is_none());
        let reduced = listed.cloned().unwrap_or(HeaderValue::from_static(OTHER));
        fields.insert(&self.name, reduced);
    }
}

/// Tells the origin the kind of device.
pub const UA_DEVICE: HeaderName = HeaderName::from_static("x-ua-device");

/// In the place of a value that is none of those that count.
const OTHER: &str = "other";

#[cfg(test)]
mod tests;
