//! `Transcript`: commands in a document, with what they print.

/// The steps of a document in their order.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) document: String,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A code block that begins with `# NAME.EXTENSION`.
    File {
        name: String,
        text: String,
    },
    Command {
        line: usize,
        command: String,
        expected: Vec<String>,
        code: i32,
    },
    /// What the document takes for granted: it is running, and is no job of the shell.
    Running(String),
}

impl Transcript {
    /// Reads fenced blocks: those of `console` hold commands, others may hold files.
    pub(crate) fn read(document: &str, text: &str) -> Self {
        let mut steps = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((start, line)) = lines.next() {
            let Some(language) = line.strip_prefix("```").filter(|it| !it.is_empty()) else {
                if line == "```" {
                    lines.by_ref().find(|(_, line)| *line == "```"); // a drawing
                }
                continue;
            };
            let block: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            if language == "console" {
                steps.extend(commands(&block, start + 2));
            } else if let Some(name) = block.first().and_then(|first| first.strip_prefix("# "))
                && !name.contains(' ')
                && name.contains('.')
            {
                let text = block.join("\n") + "\n";
                steps.push(Step::File { name: name.to_owned(), text });
            }
        }
        Self { document: document.to_owned(), steps }
    }

    /// Has another document's files, up to a command, and this command's program running.
    pub(crate) fn begin_with(&mut self, other: &Self, last: &str) {
        let is_last =
            |step: &Step| matches!(step, Step::Command { command, .. } if command == last);
        let end = other.steps.iter().position(is_last).unwrap();
        let mut steps = other.steps[..end].to_vec();
        steps.push(Step::Running(last.trim_end_matches(" &").to_owned()));
        steps.append(&mut self.steps);
        self.steps = steps;
    }
}

fn commands(block: &[&str], first: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (place, line) in block.iter().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            let command = command.to_owned();
            steps.push(Step::Command {
                line: first + place,
                command,
                expected: Vec::new(),
                code: 0,
            });
        } else if let Some(Step::Command { expected, code, .. }) = steps.last_mut() {
            match line.strip_prefix("? ") {
                Some(number) => *code = number.parse().unwrap(),
                None => expected.push((*line).to_owned()),
            }
        }
    }
    steps
}

/// Returns whether lines are as they were expected: `...` stands for any lines, `[..]` for any
/// text.
pub(crate) fn is_as_expected(expected: &[String], given: &[&str]) -> bool {
    match expected {
        [] => given.is_empty(),
        [any, rest @ ..] if any == "..." => {
            (0..=given.len()).any(|skipped| is_as_expected(rest, &given[skipped..]))
        }
        [line, rest @ ..] => match given {
            [first, others @ ..] => is_line(line, first) && is_as_expected(rest, others),
            [] => false,
        },
    }
}

fn is_line(expected: &str, given: &str) -> bool {
    let parts: Vec<&str> = expected.split("[..]").collect();
    let [first, middle @ .., last] = parts.as_slice() else { return expected == given };
    let Some(mut rest) = given.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[test]
fn expected_lines_may_leave_text_and_lines_open() {
    let expected = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (text, given, is_same) in [
        ("a", vec!["a"], true),
        ("a", vec!["a", "b"], false),
        ("a\n...", vec!["a", "b"], true),
        ("...\nb", vec!["a", "b"], true),
        ("...\nb", vec!["a"], false),
        ("a [..] c", vec!["a b c"], true),
        ("a [..] c [..]", vec!["a b d"], false),
        ("", vec![], true),
    ] {
        assert_eq!(is_as_expected(&expected(text), &given), is_same, "{text} {given:?}");
    }
}
