//! Looks at the files that the settings name, for `shellac check`, the start and a reload.

use settings::{Config, Finding};

use super::files::FileProblem;
use super::{listener, origin};

/// Returns what is wrong with files of certificates, keys and authorities. Blocks on files.
pub fn inspect(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, listen) in config.listen.iter().enumerate() {
        let Some(tls) = &listen.tls else { continue };
        for (place, problem, is_warning) in listener::problems(tls) {
            let table = ["listen", &index.to_string(), "tls"].map(str::to_owned);
            let path = |keys: &[&str]| {
                table.iter().cloned().chain(keys.iter().map(|key| (*key).to_owned())).collect()
            };
            let mut settings = vec![path(&[place.key])];
            if let Some(certificate) = place.certificate {
                let certificate = certificate.to_string();
                settings.insert(0, path(&["certificates", &certificate, place.key]));
            }
            let name = format!("listen[{index}].tls.{}", place.key);
            findings.push(finding(settings, &name, problem, is_warning));
        }
    }
    for origin in &config.origins {
        let Some(tls) = &origin.tls else { continue };
        for (key, problem, is_warning) in origin::problems(tls) {
            let table = match key {
                "scheme" => vec!["origin", &origin.name],
                _ => vec!["origin", &origin.name, "tls"],
            };
            let settings: Vec<String> = table.into_iter().chain([key]).map(str::to_owned).collect();
            let name = settings.join(".");
            findings.push(finding(vec![settings], &name, problem, is_warning));
        }
    }
    findings
}

fn finding(
    settings: Vec<Vec<String>>,
    name: &str,
    problem: FileProblem,
    is_warning: bool,
) -> Finding {
    let FileProblem { file, problem, help } = problem;
    Finding {
        settings,
        is_warning,
        message: format!("`{name}`: {} {problem}", file.display()),
        label: "this file".to_owned(),
        help: help.map(str::to_owned),
    }
}
