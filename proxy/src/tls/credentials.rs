//! `Credentials`: a certificate with its key, read from files and found to belong together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use settings::CertificateFiles;

use super::facts::{CertificateFacts, StapleFacts};
use super::files::{self, FileProblem};

#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) files: CertificateFiles,
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) facts: CertificateFacts,
    /// When the OCSP response that is sent along becomes too old.
    pub(super) staple_ends: Option<u64>,
    /// Why there is none though there is a file.
    pub(super) staple_problem: Option<FileProblem>,
}

impl Credentials {
    /// Reads the files. `now` is in seconds since 1970.
    ///
    /// An OCSP response that cannot be used is left out: without it a client is no worse off.
    pub(super) fn read(files: &CertificateFiles, now: u64) -> Result<Self, FileProblem> {
        let (mut certified, facts) = certified(&files.certificate, &files.key)?;
        let (mut staple_ends, mut staple_problem) = (None, None);
        match files.ocsp.as_deref().map(|file| staple(file, &facts, now)) {
            Some(Ok((response, ends))) => {
                certified.ocsp = Some(response);
                staple_ends = ends;
            }
            Some(Err(problem)) => staple_problem = Some(problem),
            None => {}
        }
        Ok(Self {
            files: files.clone(),
            certified: Arc::new(certified),
            facts,
            staple_ends,
            staple_problem,
        })
    }

    pub(super) fn paths(files: &CertificateFiles) -> impl Iterator<Item = &Path> {
        [&files.certificate, &files.key].into_iter().chain(&files.ocsp).map(PathBuf::as_path)
    }

    /// Returns whether an OCSP response that is sent along has become too old.
    pub(super) fn has_old_staple(&self, now: u64) -> bool {
        self.staple_ends.is_some_and(|ends| ends <= now)
    }

    /// Returns what an operator should know, though the certificate is used.
    pub(super) fn warning(&self, now: u64) -> Option<String> {
        let problem = self.warning_of_client(now);
        problem.or_else(|| {
            (!self.facts.has_names()).then(|| {
                "names no host (no subject alternative name): clients refuse it".to_owned()
            })
        })
    }

    /// The same for a certificate that is shown to servers, which look for no host in it.
    pub(super) fn warning_of_client(&self, now: u64) -> Option<String> {
        let facts = &self.facts;
        let days = |seconds: u64| seconds / 86_400;
        if facts.not_after <= now {
            Some(format!("has expired {} days ago", days(now - facts.not_after)))
        } else if facts.not_after - now < WARN_BEFORE {
            Some(format!("expires in {} days", days(facts.not_after - now)))
        } else if facts.not_before > now {
            Some("is not valid yet".to_owned())
        } else {
            None
        }
    }
}

/// Reads a certificate with its chain and its key.
pub(super) fn certified(
    certificate: &Path,
    key: &Path,
) -> Result<(CertifiedKey, CertificateFacts), FileProblem> {
    let chain = files::certificates(certificate)?;
    let facts = chain.first().and_then(|first| CertificateFacts::read(first));
    let facts = facts.ok_or_else(|| {
        FileProblem::new(certificate, "begins with what is no certificate (RFC 5280)")
    })?;
    let private = files::key(key)?;
    let signing = aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| FileProblem::new(key, format!("holds a key of no use: {error}")))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok((certified, facts)),
        Err(Error::InconsistentKeys(_)) => {
            let problem = format!("is not the key of {}", certificate.display());
            Err(FileProblem::new(key, problem).help(
                "the first certificate of the file is the one that is used, its chain follows",
            ))
        }
        Err(error) => {
            Err(FileProblem::new(certificate, format!("holds an invalid certificate: {error}")))
        }
    }
}

/// Reads an OCSP response. Returns it, and when it becomes too old.
fn staple(
    file: &Path,
    facts: &CertificateFacts,
    now: u64,
) -> Result<(Vec<u8>, Option<u64>), FileProblem> {
    let response = files::read(file)?;
    let Some(staple) = StapleFacts::read(&response) else {
        return Err(FileProblem::new(file, "is no OCSP response (RFC 6960) in DER")
            .help("openssl ocsp -respout FILE ..."));
    };
    if !facts.is_of(&staple) {
        return Err(FileProblem::new(file, "is about another certificate"));
    }
    if !staple.is_good {
        return Err(FileProblem::new(file, "does not say that the certificate is good"));
    }
    if staple.next_update.is_some_and(|ends| ends <= now) {
        return Err(FileProblem::new(file, "is too old").help("it has to be fetched regularly"));
    }
    Ok((response, staple.next_update))
}

/// A fortnight.
pub(super) const WARN_BEFORE: u64 = 14 * 86_400;
