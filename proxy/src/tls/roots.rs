//! The system's authorities, read when the first origin needs them.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::RootCertStore;

use super::files::FileProblem;

/// Returns the system's authorities. Blocks on files the first time, and as long as there are none.
pub(super) fn system() -> Result<Arc<RootCertStore>, FileProblem> {
    static ROOTS: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let mut roots = ROOTS.lock();
    if let Some(roots) = &*roots {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, ignored) = store.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "the system's authorities were read");
    if store.is_empty() {
        let causes: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let problem = match causes.as_slice() {
            [] => "holds no authorities".to_owned(),
            causes => format!("holds no authorities: {}", causes.join("; ")),
        };
        return Err(FileProblem::new(Path::new("the system's certificate store"), problem)
            .help("install the package ca-certificates, or set `ca`"));
    }
    Ok(Arc::clone(roots.insert(Arc::new(store))))
}
