//! Runs a transcript in one shell, in a network and a folder of its own: its ports are those of the
//! document.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::transcript::{Step, Transcript, is_as_expected};

/// Brings up the loopback device, and waits for what a command has started.
const PROLOGUE: &str = r#"
set -m
python3 - <<"END"
import fcntl, socket, struct
UP, FLAGS = 0x41, 0x8914
fcntl.ioctl(socket.socket(), FLAGS, struct.pack("16sh", b"lo", UP))
END
until_said() { # FILE TEXT: until a line of a file holds it
    for _ in $(seq 600); do grep -q "$2" "$1" && return; sleep 0.05; done
    echo "it did not say $2" >> "$1"
}
until_served() { # PORT
    for _ in $(seq 600); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.05; done
}
trap 'kill $(jobs -p) $running 2>/dev/null' EXIT
"#;

/// Runs all steps, and compares each of them.
pub(crate) fn run(transcript: &Transcript) {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let work = folder.path().join("work");
    fs::create_dir(&said).unwrap();
    fs::create_dir(&work).unwrap();
    fs::write(folder.path().join("script"), script(transcript, &said)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_shellac")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "bash"])
        .arg(folder.path().join("script"))
        .current_dir(&work)
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("SHELLAC_CONFIG")
        .env_remove("SHELLAC_ADMIN_TOKEN")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut wrong = String::new();
    for (number, step) in transcript.steps.iter().enumerate() {
        let Step::Command { line, command, expected, code } = step else { continue };
        let read = |kind: &str| fs::read_to_string(said.join(format!("{number}.{kind}"))).unwrap();
        let (given, ended) = (read("text"), read("code"));
        let lines: Vec<&str> = given.lines().map(|line| line.trim_end_matches('\r')).collect();
        if !is_as_expected(expected, &lines) || ended.trim() != code.to_string() {
            let document = &transcript.document;
            writeln!(
                wrong,
                "\n{document}:{line}: $ {command}\n--- expected, ? {code}\n{}\n--- given, ? {}\n{given}",
                expected.join("\n"),
                ended.trim(),
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn script(transcript: &Transcript, said: &Path) -> String {
    let mut script = PROLOGUE.to_owned();
    for (number, step) in transcript.steps.iter().enumerate() {
        let lines = match step {
            Step::File { name, text } => format!("cat > {name} <<'END-OF-FILE'\n{text}END-OF-FILE"),
            Step::Running(command) => {
                let log = said.join("running.log").display().to_string();
                let waits = "running=$!\ndisown\nuntil_served 3000";
                format!("{command} >{log} 2>&1 </dev/null &\n{waits}")
            }
            Step::Command { command, .. } => {
                let file = |kind: &str| said.join(format!("{number}.{kind}")).display().to_string();
                command_lines(command, &file("text"), &file("code"))
            }
        };
        script.push_str(&lines);
        script.push('\n');
    }
    script
}

/// Runs a command, and writes its output and its exit code to files.
fn command_lines(command: &str, text: &str, code: &str) -> String {
    if let Some(command) = command.strip_suffix(" &") {
        // The output until it serves is compared; nobody reads the rest.
        let log = format!("{text}.log");
        let waits = if command.starts_with("shellac run") {
            format!("until_said {log} workers")
        } else {
            "until_served 3000".to_owned()
        };
        return format!(
            "{command} >{log} 2>&1 </dev/null &\n{waits}\ncp {log} {text}\necho 0 >{code}"
        );
    }
    if let Some(job) = command.strip_prefix("kill ") {
        return format!("{command} >{text} 2>&1\nwait {job} 2>/dev/null\necho 0 >{code}");
    }
    format!("{{ {command}\n}} >{text} 2>&1 </dev/null\necho $? >{code}")
}
