//! `Message`: what the two processes tell each other.

use serde::{Deserialize, Serialize};

use crate::app::PageNotes;
use crate::origins::ServerOrder;

/// Both sides have to speak the same version.
pub(super) const PROTOCOL: u32 = 1;

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Message {
    /// A successor begins.
    Hello {
        protocol: u32,
        program: String,
    },
    /// An operator asks for an upgrade.
    Upgrade {
        protocol: u32,
    },
    /// To whoever began, with the reason in words.
    Refused {
        reason: String,
    },
    Welcome {
        protocol: u32,
        program: String,
    },
    /// An address; some of its descriptors come along. Several messages may speak of the same one.
    Address {
        is_admin: bool,
        place: usize,
        configured: String,
    },
    /// There are no further addresses.
    Complete,
    /// The successor has done what it can beside the predecessor, and asks for the store.
    Take,
    /// The successor gives up, or the launcher cannot start it.
    Failed {
        reason: String,
    },
    /// The predecessor uses its store no more, and purges go to the successor.
    /// The memory of its most used pages may come along.
    Released {
        pages: Option<PageNotes>,
        /// None from a program that did not pass them on.
        #[serde(default)]
        orders: Vec<ServerOrder>,
    },
    Serving,
    /// What a request has changed that was at the origin when the store was released.
    Purge {
        number: u64,
        uris: Vec<String>,
        host: Vec<u8>,
        groups: Vec<String>,
    },
    Purged {
        number: u64,
    },
    /// The launcher has started the new process.
    Started {
        pid: i32,
    },
    /// To an operator.
    Progress {
        text: String,
    },
    /// The upgrade ended well, or not.
    Ended {
        is_done: bool,
        text: String,
    },
}
