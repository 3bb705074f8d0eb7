//! The corpora of the fuzz targets, replayed and mutated: what fuzzing once found stays found,
//! without a nightly toolchain.
//!
//! `fuzz/targets/mod.rs` says what a target is, `fuzz/run.sh` looks for more.

#[cfg(test)]
#[path = "../fuzz/targets/mod.rs"]
mod targets;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::{fs, thread};

    use super::targets::{TARGETS, Target};

    /// For each target, shared by its seeds.
    const MUTATIONS: usize = 12_000;
    const CORPUS_BYTES_MAX: usize = 200 << 10;
    const INPUT_BYTES_MAX: usize = 2048;

    #[test]
    fn every_target_has_a_corpus_and_a_file_and_every_corpus_a_target() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(file_names(&folder("corpus")), names);
        let mut files: BTreeSet<String> = file_names(&folder("targets"));
        for no_target in ["mod.rs", "head.rs"] {
            assert!(files.remove(no_target));
        }
        assert_eq!(files, names.iter().map(|name| format!("{name}.rs")).collect());
        let bytes: usize =
            TARGETS.iter().flat_map(|(name, _)| corpus(name)).map(|seed| seed.len()).sum();
        assert!(bytes < CORPUS_BYTES_MAX, "the corpora have {bytes} bytes");
    }

    #[test]
    fn what_must_hold_for_any_bytes_holds_for_the_corpora_and_what_is_near_them() {
        thread::scope(|scope| {
            for (name, run) in TARGETS {
                scope.spawn(move || exercise(name, run));
            }
        });
    }

    fn exercise(name: &'static str, run: Target) {
        let seeds = corpus(name);
        let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
        for seed in &seeds {
            Input { name, bytes: seed }.give_to(run);
        }
        for round in 0..MUTATIONS {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..=random.below(4) {
                mutate(&mut bytes, &seeds, &mut random);
            }
            Input { name, bytes: &bytes }.give_to(run);
        }
    }

    /// Shows itself when the target panics.
    struct Input<'a> {
        name: &'static str,
        bytes: &'a [u8],
    }

    impl Input<'_> {
        fn give_to(self, run: Target) {
            run(self.bytes);
        }
    }

    impl Drop for Input<'_> {
        fn drop(&mut self) {
            if thread::panicking() {
                eprintln!("{} was given \"{}\"", self.name, self.bytes.escape_ascii());
            }
        }
    }

    fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Xorshift) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(16)).min(bytes.len());
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = LIKELY[random.below(LIKELY.len())],
            2 => bytes.insert(at, LIKELY[random.below(LIKELY.len())]),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.splice(at.., other[from..].iter().copied());
            }
            6 => bytes.truncate(at),
            _ => bytes.extend_from_within(at..end),
        }
        bytes.truncate(INPUT_BYTES_MAX);
    }

    /// Bytes that mean something to one decoder or other.
    const LIKELY: &[u8] = b" \t\n,;:=\"\\/.-+*?#@%[]{}()W019azAZ\x00\x7f\x80\xff";

    struct Xorshift(u64);

    impl Xorshift {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % end as u64) as usize
        }
    }

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = folder("corpus").join(name);
        let seeds: Vec<Vec<u8>> =
            file_names(&folder).iter().map(|file| fs::read(folder.join(file)).unwrap()).collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds
    }

    fn file_names(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
    }
}
