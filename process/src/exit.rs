//! Exit codes, after `sysexits.h`.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// The command ran, and the answer is no.
    No,
    /// Some proxies did not confirm. The caller tries again.
    Partial,
    Unavailable,
    Io,
    /// Not allowed: token or network.
    NotAllowed,
    /// The request was not understood.
    Usage,
    Config,
    /// The drain's deadline came before its end, after SIGTERM.
    DrainCut,
    /// The same after SIGINT.
    DrainCutByInterrupt,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unavailable => 69,
            Exit::Io => 74,
            Exit::Partial => 75,
            Exit::NotAllowed => 77,
            Exit::Config => 78,
            Exit::DrainCut => 143,
            Exit::DrainCutByInterrupt => 130,
        })
    }
}
