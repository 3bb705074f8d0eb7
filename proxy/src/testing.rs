//! The inner parts that tests, benches, fuzz targets and the demonstration use, under the names of
//! their modules. They may change at any time.

pub mod cache {
    pub mod decision {
        pub use crate::cache::decision::{Decision, Plan, decide};
    }
    pub mod outcome {
        pub use crate::cache::outcome::Outcome;
    }
    pub mod record {
        pub use crate::cache::record::RequestRecord;
    }
}
pub mod client {
    pub mod end_address {
        pub use crate::client::end_address::EndAddress;
    }
    pub mod peer {
        pub use crate::client::peer::{ListenerId, Peer};
    }
}
pub mod compression {
    pub use crate::compression::{ALL, Compression, name};
    pub mod encoder {
        pub use crate::compression::encoder::Encoder;
    }
    pub mod etags {
        pub use crate::compression::etags::add_origins;
    }
    pub mod form {
        pub use crate::compression::form::ContentForm;
    }
}
pub mod fetch {
    pub use crate::fetch::Fetched;
    pub mod request {
        pub use crate::fetch::request::FetchRequest;
    }
}
pub mod field {
    pub mod cache_status {
        pub use crate::field::cache_status::{CacheStatus, ForwardReason, Forwarded, NAME};
    }
    pub mod content_range {
        pub use crate::field::content_range::ContentRange;
    }
    pub mod delta_seconds {
        pub use crate::field::delta_seconds::DeltaSeconds;
    }
    pub mod entity_tag {
        pub use crate::field::entity_tag::EntityTag;
    }
    pub mod http_date {
        pub use crate::field::http_date::{format, parse};
    }
    pub mod range {
        pub use crate::field::range::{ByteRange, RANGES_MAX, unsatisfied_range};
    }
}
pub mod framing {
    pub use crate::framing::{HeadLimits, Violation};
    pub mod requests {
        pub use crate::framing::requests::{RequestViolation, Requests};
    }
    pub mod responses {
        pub use crate::framing::responses::Responses;
    }
}
pub mod freshness {
    pub use crate::freshness::{
        ExchangeTimes, Freshness, FreshnessRules, Heuristic, RequestDirectives, RequestFacts,
        ResponseDirectives, Staleness, Uncacheable, judge,
    };
    pub mod stored_fields {
        pub use crate::freshness::stored_fields::{freshen, stored_fields};
    }
    pub mod validation {
        pub use crate::freshness::validation::{conditions, selects};
    }
}
pub mod front {
    pub mod record_sinks {
        pub use crate::front::record_sinks::{RecordSink, Wants};
    }
}
pub mod invalidation {
    pub use crate::invalidation::{Invalidation, Mark, PurgeMark, TagId, Verdict};
}
pub mod key {
    pub use crate::key::{Key, KeySeed, Scheme};
    pub mod vary {
        pub use crate::key::vary::{Variant, normalize_accept_encoding};
    }
}
pub mod listener {
    pub mod activity {
        pub use crate::listener::activity::{Activity, Protocol};
    }
    pub mod connection {
        pub use crate::listener::connection::serve;
    }
    pub mod service {
        pub use crate::listener::service::{ClientConnection, ConnectionService};
    }
}
pub mod lookup {
    pub use crate::lookup::look_up;
}
pub mod origins {
    pub mod failures {
        pub use crate::origins::failures::PAUSE;
    }
}
pub mod policy {
    pub use crate::policy::{LiveSettings, RequestPolicy};
    pub mod matcher {
        pub use crate::policy::matcher::{Matcher, RequestView};
        pub mod naive {
            pub use crate::policy::matcher::naive::matches;
        }
    }
}
pub mod purge {
    pub use crate::purge::PurgeExecutor;
    pub mod log {
        pub use crate::purge::log::PurgeLog;
        pub mod reading {
            pub use crate::purge::log::reading::read;
        }
        pub mod rewarm {
            pub use crate::purge::log::rewarm::RewarmMetrics;
        }
    }
    pub mod metrics {
        pub use crate::purge::metrics::Source;
    }
}
pub mod request {
    pub use crate::request::RequestHead;
    pub mod details {
        pub use crate::request::details::KeptDetails;
    }
    pub mod target {
        pub use crate::request::target::Target;
    }
}
pub mod response {
    pub mod conditional {
        pub use crate::response::conditional::{Precondition, Validators, evaluate};
    }
    pub mod range {
        pub use crate::response::range::{Ranges, evaluate};
    }
}
pub mod store {
    pub use crate::store::{
        Body, ColdTier, Content, CopyMode, Fields, NewEntry, Promote, Removal, Store, Stored,
        StoredResponse, Usage,
    };
    pub mod file {
        pub use crate::store::file::{
            FileLimits, OpenedStore, Service, TieredStore, Tiering, read_any,
        };
        pub mod inspect {
            pub use crate::store::file::inspect::{InspectError, inspect, verify};
        }
    }
    pub mod journal {
        pub use crate::store::journal::Journal;
    }
    pub mod memory {
        pub use crate::store::memory::{MemoryLimits, MemoryStore};
    }
}
pub mod reason {
    pub use crate::reason::Reason;
}
pub mod transport {
    pub use crate::transport::Transport;
}
#[cfg(feature = "otlp")]
pub mod spans {
    pub mod message {
        pub use crate::spans::message::{
            AttributeContent, SpanAttribute, SpanKind, SpanStatusCode, TraceExport, WireSpan,
        };
    }
}
