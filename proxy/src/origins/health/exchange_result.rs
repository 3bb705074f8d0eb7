//! `ExchangeResult`: what an exchange says of its server.

use http::StatusCode;
use settings::StatusRange;

use crate::origins::OriginError;

/// The result of one exchange, as far as its server is answerable for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origins) enum ExchangeResult {
    Answered(StatusCode),
    /// No connection: it is the server's doing, whatever was asked for.
    NotConnected,
    /// A connection, and no response in time or none that can be read. The server's doing, or the
    /// URL's.
    NoResponse,
    /// The client's doing, or ours.
    Neutral,
}

/// The cause of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    Server,
    /// One URL may be to blame.
    Url,
}

impl ExchangeResult {
    pub(in crate::origins) const fn of(error: &OriginError) -> Self {
        match error {
            OriginError::Resolve { .. }
            | OriginError::Refused { .. }
            | OriginError::Unreachable { .. }
            | OriginError::Tls { .. }
            | OriginError::ConnectTimeout { .. } => Self::NotConnected,
            OriginError::SendTimeout
            | OriginError::HeadTimeout
            | OriginError::IdleTimeout
            | OriginError::TotalTimeout
            | OriginError::Broken(_)
            | OriginError::Reset(_)
            | OriginError::Malformed(_)
            | OriginError::Switched
            | OriginError::Framing(_)
            | OriginError::Unasked
            | OriginError::Incomplete(_) => Self::NoResponse,
            OriginError::Busy
            | OriginError::NoDescriptors
            | OriginError::StreamIdleTimeout
            | OriginError::TunnelTimeout
            | OriginError::Unprocessed(_)
            | OriginError::Unavailable(_)
            | OriginError::RequestTooLarge
            | OriginError::RequestStalled
            | OriginError::RequestBroken
            | OriginError::Unwritable
            | OriginError::Abandoned => Self::Neutral,
        }
    }

    /// Returns the cause of the failure that this is, where such statuses count as failures.
    pub(super) fn failure(self, failure_status: &[StatusRange]) -> Option<Blame> {
        match self {
            Self::NotConnected => Some(Blame::Server),
            Self::NoResponse => Some(Blame::Url),
            Self::Answered(status) => failure_status
                .iter()
                .any(|range| range.contains(status.as_u16()))
                .then_some(Blame::Url),
            Self::Neutral => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_status_is_a_failure_where_it_was_said_to_be_one() {
        let gateway = [StatusRange::new(502..=504)];
        for (result, without, with) in [
            (ExchangeResult::Answered(StatusCode::OK), None, None),
            (ExchangeResult::Answered(StatusCode::INTERNAL_SERVER_ERROR), None, None),
            (ExchangeResult::Answered(StatusCode::BAD_GATEWAY), None, Some(Blame::Url)),
            (ExchangeResult::NoResponse, Some(Blame::Url), Some(Blame::Url)),
            (ExchangeResult::NotConnected, Some(Blame::Server), Some(Blame::Server)),
            (ExchangeResult::Neutral, None, None),
        ] {
            assert_eq!(result.failure(&[]), without, "{result:?}");
            assert_eq!(result.failure(&gateway), with, "{result:?}");
        }
    }

    #[test]
    fn a_client_that_fails_says_nothing_of_the_server() {
        for error in [
            OriginError::RequestStalled,
            OriginError::RequestBroken,
            OriginError::Abandoned,
            OriginError::Busy,
            OriginError::NoDescriptors,
        ] {
            assert_eq!(ExchangeResult::of(&error), ExchangeResult::Neutral, "{error}");
        }
        assert_eq!(ExchangeResult::of(&OriginError::HeadTimeout), ExchangeResult::NoResponse);
        let refused = OriginError::Refused { server: "a:1".to_owned() };
        assert_eq!(ExchangeResult::of(&refused), ExchangeResult::NotConnected);
    }
}
