//! The line that `shellac check` ends with when all is well.

use bytesize::ByteSize;

use super::{Config, StorageKind};

/// Returns one line: listeners, origin and storage.
pub(super) fn summary(config: &Config) -> String {
    let parts = [
        origins(config),
        counted(config.listen.len(), "listener"),
        storage(config),
        match config.admin.listen.as_slice() {
            [] => "no admin".to_owned(),
            addresses => format!("admin {}", joined(addresses)),
        },
    ];
    format!("✓ {}", parts.join(", "))
}

fn origins(config: &Config) -> String {
    match config.origins.as_slice() {
        [only] => {
            let servers: Vec<_> = only.servers.iter().map(|server| &server.address).collect();
            format!("1 origin ({}: {})", only.name, joined(&servers))
        }
        several => {
            let names: Vec<_> = several.iter().map(|origin| &origin.name).collect();
            format!("{} origins ({})", names.len(), joined(&names))
        }
    }
}

/// Returns the kind and size of the store.
pub(crate) fn storage(config: &Config) -> String {
    let memory = ByteSize::b(config.storage.memory.capacity);
    let file = || {
        let file = &config.storage.file;
        format!("{} in {}", ByteSize::b(file.capacity), file.path.display())
    };
    match config.storage.kind {
        StorageKind::Memory => format!("memory {memory}"),
        StorageKind::File => format!("file {}", file()),
        StorageKind::Tiered => format!("memory {memory} before file {}", file()),
    }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
