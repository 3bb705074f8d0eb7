//! The first hour with the program, as it is written: every command of README.md and
//! docs/first-hour.md is run, and what it prints is compared.

#[cfg(test)]
mod runner;
#[cfg(test)]
mod transcript;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::runner::run;
    use super::transcript::Transcript;

    fn read(path: &str) -> Transcript {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        Transcript::read(path, &std::fs::read_to_string(root.join(path)).unwrap())
    }

    #[test]
    fn the_first_hour_is_as_it_is_written() {
        let hour = read("docs/first-hour.md");
        assert!(hour.steps.len() > 40, "the commands were not found");
        run(&hour);
    }

    #[test]
    fn the_commands_of_the_readme_do_what_it_says() {
        let mut readme = read("README.md");
        assert!(readme.steps.len() > 8, "the commands were not found");
        // The README says: with a renderer on port 3000.
        readme.begin_with(&read("docs/first-hour.md"), "python3 renderer.py &");
        run(&readme);
    }
}
