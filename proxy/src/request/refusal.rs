//! `Refusal`: why a request is not carried out.

use crate::framing::Violation;
use crate::reason::Reason;

/// The reason that a request is not carried out; the client has to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("This method is not served here.")]
    MethodNotAllowed,
    /// `PURGE` from a peer that may not, or without the token.
    #[error(
        "This address may not purge here: add its network to purge.allow, or purge through the admin listener."
    )]
    PurgeForbidden,
    /// The admin listener, from another machine, without a token being set.
    #[error("The admin listener serves other machines only when admin.token is set.")]
    AdminForbidden,
    /// `PURGE` without the token, or a wrong one.
    #[error("A valid \"Authorization: Bearer\" token is needed to purge.")]
    Unauthorized,
    /// `PURGE` where it is switched off.
    #[error(
        "PURGE is switched off on this listener: set purge.allow, or purge through the admin listener."
    )]
    PurgeOff,
    #[error("The request's host cannot be determined: {0}.")]
    Host(&'static str),
    /// `Connection` names a field that is not for it to name.
    #[error("The Connection field names a field that must not be dropped.")]
    Connection,
    /// The bytes of the request can be read in more than one way, or are none (RFC 9112).
    #[error("The request is malformed: {0}.")]
    Framing(#[from] Violation),
    /// Our own name is in `Via` too often (RFC 9110 §7.6.3).
    #[error("The request has come through here {0} times: it runs in a circle.")]
    Loop(usize),
    /// No `[origin.NAME]` has this host and path.
    #[error("Nothing is served here under this host and path.")]
    Unclaimed,
    #[error("The URL is longer than {limit} bytes.")]
    UriTooLong {
        /// Bytes allowed.
        limit: usize,
    },
    #[error("The request's content is longer than {limit} bytes.")]
    BodyTooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// The body of a purge that cannot be read.
    #[error("The request cannot be read.")]
    Malformed,
    /// `only-if-cached`, and it is not (RFC 9111 §5.2.1.7).
    #[error("The request asked for a stored response and there is none.")]
    OnlyIfCached,
    /// A rule says that only what is stored may answer.
    #[error("Only stored responses are served here, and there is none.")]
    NotStored,
}

impl Refusal {
    pub const fn reason(self) -> Reason {
        match self {
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::PurgeForbidden => Reason::PurgeForbidden,
            Self::AdminForbidden | Self::Unauthorized => Reason::Unauthorized,
            Self::PurgeOff => Reason::PurgeOff,
            Self::Framing(Violation::TargetTooLong) | Self::UriTooLong { .. } => Reason::UrlTooLong,
            Self::Framing(Violation::HeadTooLarge | Violation::TooManyFields) => {
                Reason::HeadTooLarge
            }
            Self::Host(_) | Self::Connection | Self::Malformed | Self::Framing(_) => {
                Reason::BadRequest
            }
            Self::Loop(_) => Reason::Loop,
            Self::Unclaimed => Reason::Unclaimed,
            Self::BodyTooLarge { .. } => Reason::RequestTooLarge,
            Self::OnlyIfCached => Reason::OnlyIfCached,
            Self::NotStored => Reason::NotStored,
        }
    }
}
