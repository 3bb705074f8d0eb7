//! Whatever the file holds, there is a configuration or a list of problems that can be shown.

use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::{Strategy, any, proptest};

use super::{Config, ConfigErrors, SHIPPED, load, load_with};

/// Shows what is wrong, if anything is.
fn show(loaded: Result<Config, ConfigErrors>) {
    let Err(errors) = loaded else { return };
    assert!(!errors.problems().is_empty(), "an error without a problem");
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::ascii());
    handler.render_report(&mut String::new(), &errors).unwrap();
}

/// The shipped file with a part of it, at characters' borders, replaced.
fn damaged() -> impl Strategy<Value = String> {
    (0..SHIPPED.len(), 0..80_usize, "[\\PC\n\"=\\[\\]{}$.#]{0,8}").prop_map(
        |(start, length, text)| {
            let (before, rest) = SHIPPED.split_at(SHIPPED.floor_char_boundary(start));
            let (_lost, after) = rest.split_at(rest.ceil_char_boundary(length));
            format!("{before}{text}{after}")
        },
    )
}

proptest! {
    #[test]
    fn any_text_can_be_loaded(text in any::<String>()) {
        show(load(&text));
    }

    #[test]
    fn a_damaged_file_can_be_loaded(text in damaged()) {
        show(load(&text));
    }

    #[test]
    fn any_variable_can_be_set(name in "(SHELLAC__[A-Z_]{0,20}|SHELLAC__CACHE__KEEP)", value in "\\PC{0,40}") {
        show(load_with("", &[(name.as_str(), value.as_str())]));
    }
}
