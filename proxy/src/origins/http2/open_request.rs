//! `OpenRequest`: a request whose frames the wire looks for, until it is dropped.

use std::sync::Arc;

use super::connection::Http2Connection;
use super::progress::StreamProgress;

#[derive(Debug)]
pub(super) struct OpenRequest {
    pub(super) connection: Arc<Http2Connection>,
    pub(super) progress: Arc<StreamProgress>,
    pub(super) stream: u32,
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.connection.shared.wire.forget(self.stream);
    }
}
