//! `loadtest bare`: hyper and nothing else. What it takes per request is the least that a proxy on
//! hyper can take.

use std::future::ready;

use bytes::Bytes;
use bytesize::ByteSize;
use clap::Args;
use http::Response;
use http_body_util::Full;

use crate::origin::page::Page;
use crate::server::{ServerArguments, serve};

/// The options of `loadtest bare`.
#[derive(Args, Debug)]
pub(crate) struct BareArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// The size of the body.
    #[arg(long, default_value = "1KiB")]
    size: ByteSize,
}

/// Answers every request with the same page: as many fields as the origin sends, cloned as a cache
/// would clone them.
pub(crate) async fn run(arguments: BareArguments) -> anyhow::Result<()> {
    let page = Page::of_size(usize::try_from(arguments.size.as_u64())?);
    let (fields, body): (_, Bytes) = (page.fields(LIFETIME_SECONDS), page.body());
    serve(&arguments.server, move |_request| {
        let mut response = Response::new(Full::new(body.clone()));
        *response.headers_mut() = fields.clone();
        ready(response)
    })
    .await
}

const LIFETIME_SECONDS: u64 = 3600;
