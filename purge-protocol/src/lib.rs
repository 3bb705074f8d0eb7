//! Purges on the wire: one definition for the proxy, the command line and the purger.
//!
//! A purge request names *selectors* (tags, URLs, pages, paths, hosts, prefixes, combinations of
//! these, or everything) and a [`PurgeMode`]. It travels as JSON (`POST /api/v1/purge`) or as an
//! HTTP `PURGE` request with tag fields; both become a [`PurgeRequest`]. The answer is a
//! [`PurgeReport`]: how many stored responses each selector invalidated. A selector that matches
//! nothing is reported with zero and is no error. Repeating a purge is harmless: the second one
//! finds nothing.
//!
//! If proxy and purger each had their own idea of how a URL becomes canonical or what a tag may
//! contain, a drift would silently purge nothing; that is why this crate exists.

#![warn(missing_docs)]

pub mod tag;
pub mod url;
pub mod spelling;
pub mod expression;
pub mod deploy;
pub mod request;
pub mod report;
pub mod hint;
pub mod foreign;
pub mod method;
pub mod log;

pub use deploy::{Deploy, DeployError, Deployment};
pub use expression::{Expression, ExpressionError, Term, Terms};
pub use report::{Matched, PurgeReport, SelectorReport};
pub use request::{PurgeMode, PurgeRequest, RequestError, Selector};
pub use tag::{Tag, TagError};
pub use url::{CanonicalUrl, UrlError, UrlPrefix, UrlProblem};
