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
            write!(
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
        match step {
            Step::File { name, text } => {
                write!(script, "cat > {name} <<'END-OF-FILE'\n{text}END-OF-FILE\n").unwrap();
            }
            Step::Running(command) => {
                let log = said.join("running.log");
                let log = log.display();
                write!(
                    script,
                    "{command} >{log} 2>&1 </dev/null &\nrunning=$!\ndisown\nuntil_served 3000\n"
                )
                .unwrap();
            }
            Step::Command { command, .. } => {
                let text = said.join(format!("{number}.text"));
                let (text, code) = (text.display(), said.join(format!("{number}.code")));
                let code = code.display();
                if let Some(command) = command.strip_suffix(" &") {
                    // What it says until it serves; then nobody listens any more.
                    let log = format!("{text}.log");
                    let wait = match command.starts_with("shellac run") {
                        true => format!("until_said {log} workers"),
                        false => "until_served 3000".to_owned(),
                    };
                    write!(script, "{command} >{log} 2>&1 </dev/null &\n{wait}\ncp {log} {text}\necho 0 >{code}\n")
                        .unwrap();
                } else {
                    let and_wait = match command.strip_prefix("kill ") {
                        Some(job) => format!("; wait {job} 2>/dev/null; true"),
                        None => String::new(),
                    };
                    write!(script, "{{ {command}\n}} >{text} 2>&1 </dev/null{and_wait}\n").unwrap();
                    let number = if and_wait.is_empty() { "$?" } else { "0" };
                    writeln!(script, "echo {number} >{code}").unwrap();
                }
            }
        }
    }
    script
}
