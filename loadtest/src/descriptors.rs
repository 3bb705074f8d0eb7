//! The limit on open files: a burst of 1,000 connections needs more than the usual 1,024.

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};

pub(crate) fn raise_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}
