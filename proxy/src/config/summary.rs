//! The line that `shellac check` ends with when all is well.

use bytesize::ByteSize;

use super::Config;

/// Returns one line: what would be served, from where, with how much memory.
pub(super) fn summary(config: &Config) -> String {
    let parts = [
        format!("1 origin ({}: {})", config.origin.name, joined(&config.origin.servers)),
        counted(config.listen.len(), "listener"),
        format!("memory {}", ByteSize::b(config.storage.memory.capacity)),
        match config.admin.listen.as_slice() {
            [] => "no admin".to_owned(),
            addresses => format!("admin {}", joined(addresses)),
        },
    ];
    format!("✓ {}", parts.join(", "))
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
