//! A change of deployment: `{"id":"build-78","grace_seconds":600,"host":"shop.example"}`.
//!
//! Responses that name another deployment than this one are stale at once, and are not used any
//! more when the grace is over. It holds for responses that come later as well: what a server of an
//! earlier deployment still answers is of that deployment.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tag::{Tag, TagError};
use crate::url::{UrlError, written_host};

/// A change of deployment, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The name of the deployment that is the present one from now on.
    pub id: String,
    /// Seconds until responses of others are not used any more, not even stale.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub grace_seconds: u64,
    /// The only host that it concerns; absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The time of the change, in milliseconds since 1970; absent: when it arrives. Of two changes
    /// the later one holds, in whatever order they arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
}

/// A change of deployment that was read and found sound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Deployment {
    /// Its name.
    pub id: Tag,
    /// The time until others are not used any more.
    pub grace: Duration,
    /// The only host that it concerns, in canonical form.
    pub host: Option<String>,
    /// The time of the change, in milliseconds since 1970, where it is known.
    pub at_ms: Option<u64>,
}

/// The reason why a change of deployment is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// A longer grace than there is.
    #[error("a grace of {seconds} seconds exceeds the limit of {max}: purge what is wrong by then")]
    Grace {
        /// Seconds that were asked for.
        seconds: u64,
        /// Seconds allowed.
        max: u64,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] TagError),
    /// A host that is none.
    #[error(transparent)]
    Host(#[from] UrlError),
}

impl Deploy {
    /// The longest grace, in seconds: a week.
    pub const GRACE_SECONDS_MAX: u64 = 7 * 24 * 3600;

    /// Reads it.
    pub fn read(&self) -> Result<Deployment, DeployError> {
        let (seconds, max) = (self.grace_seconds, Self::GRACE_SECONDS_MAX);
        if seconds > max {
            return Err(DeployError::Grace { seconds, max });
        }
        Ok(Deployment {
            id: Tag::parse(&self.id)?,
            grace: Duration::from_secs(seconds),
            host: self.host.as_deref().map(written_host).transpose()?,
            at_ms: self.at_ms,
        })
    }
}

impl fmt::Display for Deploy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all deployments but {}", self.id)?;
        match &self.host {
            Some(host) => write!(f, " of {host}"),
            None => Ok(()),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(seconds: &u64) -> bool {
    *seconds == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PurgeRequest;

    #[test]
    fn a_change_of_deployment_is_a_selector_of_a_purge() {
        let text = r#"{"deploys":[{"id":"build-78","grace_seconds":600,"host":"Shop.example"}]}"#;
        let request: PurgeRequest = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        let deployment = request.deploys[0].read().unwrap();
        assert_eq!(deployment.host.as_deref(), Some("shop.example"));
        assert_eq!(deployment.grace, Duration::from_mins(10));
        assert_eq!(request.deploys[0].to_string(), "all deployments but build-78 of Shop.example");
    }

    #[test]
    fn a_deployment_without_a_sound_name_or_with_a_long_grace_is_refused() {
        let of = |id: &str, grace_seconds| {
            let deploy = Deploy { id: id.to_owned(), grace_seconds, ..Deploy::default() };
            deploy.read().map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(of("b", 0), Ok(()));
        assert!(of("", 0).unwrap_err().contains("empty"));
        assert!(of("a b", 0).unwrap_err().contains("white space"));
        assert!(of("b", 604_801).unwrap_err().contains("the limit of 604800"));
    }
}
