//! What the tests stand on: the renderer, the proxy, and clients of both.

pub(crate) mod site;
pub(crate) mod renderer;
pub(crate) mod shellac;
pub(crate) mod client;
pub(crate) mod child;
pub(crate) mod framework;

pub(crate) use self::client::{Answer, Client};
pub(crate) use self::renderer::Renderer;
pub(crate) use self::shellac::Shellac;

use std::time::Duration;

/// After this long a test hangs. Nothing here takes a tenth of it, even on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
