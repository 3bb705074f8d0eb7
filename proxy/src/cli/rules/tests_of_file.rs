//! `shellac rules test`: requests of a file, and whether rules make of them what it expects.

use settings::{Config, ExpectedOutcome, RuleTest};

use super::explanation::{Explanation, RuleQuestion};

/// Runs all tests. Returns a page for people, and the number of those that failed.
pub(super) fn run(config: &Config, tests: Vec<RuleTest>) -> (String, usize) {
    let (mut page, mut failed) = (String::new(), 0);
    let count = tests.len();
    for RuleTest { url, method, fields, client, expected } in tests {
        let name = format!("{method} {url}");
        let question = RuleQuestion { url, method, fields, client };
        let differences = match Explanation::of(config, question) {
            Ok(found) => differences(&found, &expected),
            Err(problem) => vec![problem],
        };
        if !differences.is_empty() {
            failed += 1;
            page.extend([name.as_str(), "\n  ", &differences.join("\n  "), "\n"]);
        }
    }
    let sum = format!("{} of {count} as expected\n", count - failed);
    page.push_str(&sum);
    (page, failed)
}

fn differences(found: &Explanation, expected: &ExpectedOutcome) -> Vec<String> {
    let ExpectedOutcome { rules, key, decision, origin } = expected;
    let text = |text: &str| Some(text.to_owned());
    let rows = [
        ("rules", rules.as_ref().map(|rules| rules.join(", ")), text(&found.rules.join(", "))),
        ("key", key.clone(), text(&found.key)),
        ("decision", decision.clone(), text(&found.decision)),
        ("origin", origin.clone(), Some(found.origin.clone().unwrap_or_else(|| "none".to_owned()))),
    ];
    let differs =
        rows.into_iter().filter(|(_, expected, found)| expected.is_some() && expected != found);
    let row = |(what, expected, found): (&str, Option<String>, Option<String>)| {
        let [expected, found] = [expected, found].map(Option::unwrap_or_default);
        format!("{what}: expected {expected}, found {found}")
    };
    differs.map(row).collect()
}

#[cfg(test)]
mod tests {
    use settings::Sources;

    use super::*;

    #[test]
    fn a_test_says_what_differs_from_what_it_expects() {
        let file = "[origin.app]\nservers = [\"a:1\"]\n[[rule]]\nname = \"de\"\npath = \"/de-at/**\"\nrewrite.path = \"/de/$1\"\n";
        let file = Some(("config.toml".to_owned(), file.to_owned()));
        let config = Config::load(&Sources { file, ..Sources::default() }).unwrap();
        let tests = "[[test]]\nurl = \"http://a/de-at/x?q=1\"\nrules = [\"de\"]\nkey = \"http://a/de/x?q=1\"\ndecision = \"cache\"\norigin = \"app\"\n\
             [[test]]\nurl = \"http://a/x\"\nmethod = \"POST\"\nrules = [\"de\"]\ndecision = \"cache\"\n";
        let tests = RuleTest::read_all("tests.toml", tests).unwrap();
        let (page, failed) = run(&config, tests);
        assert_eq!(failed, 1);
        assert_eq!(
            page,
            "POST http://a/x\n  rules: expected de, found \n  decision: expected cache, found bypass\n1 of 2 as expected\n"
        );
    }
}
