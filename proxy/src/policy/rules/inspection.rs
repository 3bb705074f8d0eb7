//! Problems of the files that rules answer with.

use settings::{Config, Finding, Respond, RespondContent};

/// Looks at each file. Blocks on files.
pub fn inspect(config: &Config) -> Vec<Finding> {
    let file_of = |respond: &Respond| match &respond.content {
        RespondContent::File(path) => Some(path.clone()),
        RespondContent::Text(_) => None,
    };
    let mut findings = Vec::new();
    for rule in &config.rules {
        let Some(path) = rule.actions.request.respond.as_ref().and_then(file_of) else { continue };
        let problem = match std::fs::metadata(&path) {
            Err(error) => error.to_string(),
            Ok(file) if !file.is_file() => "it is no file".to_owned(),
            Ok(file) if file.len() > Respond::CONTENT_BYTES_MAX => {
                format!("it is larger than {} bytes", Respond::CONTENT_BYTES_MAX)
            }
            Ok(_) => match std::fs::File::open(&path) {
                Ok(_) => continue,
                Err(error) => error.to_string(),
            },
        };
        let setting = ["rule", &rule.index.to_string(), "respond", "file"].map(str::to_owned);
        findings.push(Finding {
            settings: vec![setting.to_vec()],
            is_warning: false,
            message: format!(
                "the rule `{}` cannot answer with {}: {problem}",
                rule.name,
                path.display()
            ),
            label: "this file".to_owned(),
            help: None,
        });
    }
    findings
}
