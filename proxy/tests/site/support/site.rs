//! The Next.js site: installed and built on first use, by one test process at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use xxhash_rust::xxh3::Xxh3;

/// Returns the folder of the built site.
///
/// # Panics
/// When Node.js or npm is missing, or the site cannot be built; the message says what to do.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loadtest/renderer");
        let folder = folder.canonicalize().expect("loadtest/renderer is a part of this repository");
        run(&folder, "node", &["--version"]); // so that its absence is told in a sentence
        build_if_needed(&folder);
        folder
    })
}

/// Builds what is there, unless its stamp says that this was done. The lock file doubles as the
/// lock.
fn build_if_needed(folder: &Path) {
    let lock = File::open(folder.join(LOCK_FILE)).expect("the lock file can be read");
    lock.lock().expect("the lock file can be locked");
    let stamp = folder.join(".next/shellac-stamp");
    let wanted = format!("{:016x}", digest_of(folder));
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return;
    }
    if !is_installed(folder) {
        run(folder, "npm", &["ci"]);
    }
    run(folder, "npm", &["run", "build"]);
    fs::write(&stamp, wanted).expect("the stamp can be written");
}

/// Installs what the lock file of a folder names, unless that was done; an error says why it
/// cannot be had.
pub(crate) fn install(folder: &Path) -> Result<(), String> {
    let lock = File::open(folder.join(LOCK_FILE)).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if is_installed(folder) {
        return Ok(());
    }
    let output = Command::new("npm").arg("ci").current_dir(folder).output();
    let output = output.map_err(|error| format!("npm cannot be run ({error}): {NEEDED}"))?;
    let said = || format!("npm ci: {}", String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said()) }
}

/// npm leaves a copy of the lock file behind as the last thing it does.
fn is_installed(folder: &Path) -> bool {
    let changed = |path: &str| fs::metadata(folder.join(path)).and_then(|found| found.modified());
    match (changed(LOCK_FILE), changed("node_modules/.package-lock.json")) {
        (Ok(wanted), Ok(installed)) => installed >= wanted,
        _ => false,
    }
}

/// Returns a digest of everything that the build depends on: names and contents.
fn digest_of(folder: &Path) -> u64 {
    let mut files = Vec::new();
    collect_sources(folder, &mut files);
    files.sort_unstable();
    let mut digest = Xxh3::new();
    for file in files {
        let name = file.strip_prefix(folder).expect("it was found there");
        digest.update(name.as_os_str().as_encoded_bytes());
        digest.update(b"\0");
        digest.update(&fs::read(&file).expect("sources can be read"));
    }
    digest.digest()
}

fn collect_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let is_made = MADE.iter().any(|name| entry.file_name() == *name);
        if is_made {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            collect_sources(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let line = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => panic!("cannot run `{line}` ({error}): {NEEDED}"),
    };
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "`{line}` in {} failed:\n{stdout}{stderr}\n{NEEDED}",
        folder.display()
    );
}

const LOCK_FILE: &str = "package-lock.json";
/// What is not a source: made by npm, by Next, or for people.
const MADE: [&str; 5] = ["node_modules", ".next", "next-env.d.ts", "README.md", ".gitignore"];
const NEEDED: &str = "the end-to-end tests need Node.js 20.11 or newer with npm (Debian: apt-get install nodejs \
    npm), and a registry for the first run";
