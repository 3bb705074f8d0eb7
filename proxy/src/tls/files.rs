//! Reads certificates and keys from files, and says what is wrong with one in words that help.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", .file.display())]
pub struct FileProblem {
    pub(super) file: PathBuf,
    pub(super) problem: String,
    pub(super) help: Option<&'static str>,
}

/// Which version of some files was read, to notice others in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamps(Vec<Option<Stamp>>);

/// Inode, size and the time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

impl FileStamps {
    pub(super) fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let stamp = |file: &Path| {
            let of = fs::metadata(file).ok()?;
            Some((of.ino(), of.size(), of.mtime(), of.mtime_nsec()))
        };
        Self(files.into_iter().map(stamp).collect())
    }
}

impl FileProblem {
    pub(super) fn new(file: &Path, problem: impl Into<String>) -> Self {
        Self { file: file.to_owned(), problem: problem.into(), help: None }
    }

    pub(super) fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, FileProblem> {
    let is_too_large = fs::metadata(file).is_ok_and(|of| of.is_file() && of.len() > BYTES_MAX);
    if is_too_large {
        return Err(FileProblem::new(file, format!("is larger than {BYTES_MAX} bytes")));
    }
    fs::read(file).map_err(|error| FileProblem::new(file, format!("cannot be read: {error}")))
}

/// Reads all certificates of a PEM file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let pem = read(file)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| FileProblem::new(file, format!("is malformed PEM: {error}")))?;
    if certificates.is_empty() {
        let problem = format!("holds no certificate, but {}", content(&pem));
        return Err(FileProblem::new(file, problem)
            .help("a PEM block \"CERTIFICATE\" is needed; DER: openssl x509 -inform der -in ..."));
    }
    Ok(certificates)
}

pub(super) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, FileProblem> {
    let pem = read(file)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let found = content(&pem);
        if found.contains("ENCRYPTED PRIVATE KEY") {
            return FileProblem::new(file, "is encrypted, and there is no password for it")
                .help("openssl pkey -in ENCRYPTED -out PLAIN, readable by the proxy alone");
        }
        match error {
            rustls_pki_types::pem::Error::NoItemsFound => {
                FileProblem::new(file, format!("holds no private key, but {found}")).help(
                    "a PEM block \"PRIVATE KEY\" (or \"EC\" or \"RSA PRIVATE KEY\") is needed",
                )
            }
            error => FileProblem::new(file, format!("is malformed PEM: {error}")),
        }
    })
}

/// Certificates that others are trusted for.
#[derive(Clone, Debug)]
pub(super) struct Authorities {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
}

/// Reads authorities: a PEM file with their certificates.
pub(super) fn authorities(file: &Path) -> Result<Authorities, FileProblem> {
    let mut store = RootCertStore::empty();
    let certificates = certificates(file)?;
    for (index, certificate) in certificates.iter().enumerate() {
        store.add(certificate.clone()).map_err(|error| {
            let problem = format!("certificate {} cannot be an authority: {error}", index + 1);
            FileProblem::new(file, problem)
        })?;
    }
    Ok(Authorities { roots: Arc::new(store), certificates: certificates.into() })
}

/// Lists the headings of PEM blocks with their lines.
fn content(pem: &[u8]) -> String {
    let text = String::from_utf8_lossy(pem);
    let headings: Vec<String> = (1..)
        .zip(text.lines())
        .filter_map(|(line, text)| {
            let heading = text.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            Some(format!("\"{heading}\" in line {line}"))
        })
        .take(HEADINGS_MAX)
        .collect();
    match headings.as_slice() {
        [] if pem.is_empty() => "is empty".to_owned(),
        [] => "is no PEM".to_owned(),
        _ => headings.join(", "),
    }
}

/// More than all authorities of a system.
const BYTES_MAX: u64 = 16 << 20;
const HEADINGS_MAX: usize = 3;
