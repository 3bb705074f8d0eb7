//! What an operator sees: problems as they are shown, which layer wins, and the shipped file.

mod compression;
mod dns;
mod layers;
mod peers;
mod problems;
mod rendering;
mod robustness;
mod rules;
mod shipped;
mod tls;
mod variants;
mod written;

use super::{Config, ConfigErrors, Flags, Sources};

/// The file that documents every setting.
const SHIPPED: &str = include_str!("../../../config.toml");

/// The shortest file that works.
const MINIMAL: &str = "[origin.app]\nservers = [\"127.0.0.1:3000\"]\n";

fn from_file(text: &str) -> Sources {
    Sources { file: Some(("config.toml".to_owned(), text.to_owned())), ..Sources::default() }
}

fn load(text: &str) -> Result<Config, ConfigErrors> {
    Config::load(&from_file(text))
}

/// Loads this after [`MINIMAL`], with variables.
fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::load(&with(text, environment, Flags::default()))
}

/// Returns sources: this after [`MINIMAL`], variables, flags.
fn with(text: &str, environment: &[(&str, &str)], flags: Flags) -> Sources {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().map(owned).collect();
    Sources { environment, flags, ..from_file(&format!("{MINIMAL}{text}")) }
}
