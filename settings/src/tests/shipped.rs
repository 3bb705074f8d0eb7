//! `config.toml` shows every setting with its default.

use super::{MINIMAL, SHIPPED, from_file, load};
use crate::report::Report;
use crate::tree::layers;
use crate::{Config, table};

#[test]
fn the_shipped_file_holds_the_defaults() {
    assert_eq!(load(SHIPPED).unwrap(), load(MINIMAL).unwrap());
}

#[test]
fn the_shipped_file_shows_every_setting() {
    let mut report = Report::default();
    let root = layers::merge(&from_file(SHIPPED), &mut report);
    table::read_root(&root, &mut report, Config::read);
    // Rules are shown as comments: there are none by default.
    let shown = |(_, key): &&(String, &str)| *key != "rule";
    for (table, key) in report.known().iter().filter(shown) {
        let path = format!("{table}.{key}").replace('[', ".").replace(']', "");
        let path: Vec<&str> = path.split('.').filter(|key| !key.is_empty()).collect();
        assert!(root.at(&path).is_some(), "{path:?} is not in config.toml");
    }
}
