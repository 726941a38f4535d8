//! docs/commands.md: it names every command and flag, and its examples are what happens.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::harness::place::Place;

fn page() -> PathBuf {
    docs("commands.md")
}

fn docs(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)
}

/// The text of a section, by the first words of its heading.
fn section<'t>(text: &'t str, heading: &str) -> Option<&'t str> {
    text.split("\n## ").find(|section| section.starts_with(heading))
}

#[test]
fn every_command_and_flag_is_named() {
    let text = std::fs::read_to_string(page()).unwrap();
    let common = section(&text, "Common flags").unwrap();
    let mut missing = Vec::new();
    let mut command = ionroller::cli::args::Cli::command();
    command.build();
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        let Some(own) = section(&text, &format!("`ionroller {name}")) else {
            missing.push(name.to_owned());
            continue;
        };
        for argument in command.get_arguments() {
            let named = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_value_names().unwrap()[0].to_string(),
            };
            if !own.contains(&named) && !common.contains(&named) {
                missing.push(format!("{name}: {named}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/commands.md does not name {}", missing.join(", "));
}

#[test]
fn examples_are_what_happens() {
    is_what_happens(&page());
}

#[test]
fn the_way_of_a_plan_through_a_pull_request_is_what_happens() {
    is_what_happens(&docs("plans-in-pull-requests.md"));
}

/// `UPDATE_EXPECT=1` writes what happens into the page.
fn is_what_happens(page: &Path) {
    let text = std::fs::read_to_string(page).unwrap();
    let place = Place { dir: tempfile::TempDir::new().unwrap() };
    std::fs::create_dir(place.repo()).unwrap();
    let shell = Shell::new(&place);
    let mut real = String::new();
    let mut in_example = false;
    for line in text.lines() {
        match line {
            "```console" => in_example = true,
            "```" => in_example = false,
            _ => {}
        }
        let command = line.strip_prefix("$ ").filter(|_| in_example);
        if !in_example || line == "```console" || command.is_some() {
            let _ = writeln!(real, "{line}");
        }
        if let Some(command) = command {
            real.push_str(&shell.run(&place, command));
        }
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(page, &real).unwrap();
    }
    assert_eq!(std::fs::read_to_string(page).unwrap(), real);
}

/// bash with an `ionroller` that acts on a simulated AWS.
struct Shell {
    path: String,
}

impl Shell {
    fn new(place: &Place) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let bin = place.dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let (program, world) = (env!("CARGO_BIN_EXE_ionroller"), place.dir.path().join("world.json"));
        let script = format!(
            "#!/bin/bash\ncase $1 in init|validate|schema) exec {program} \"$@\" ;; esac\n\
             exec {program} \"$@\" --cloud sim:{}\n",
            world.display()
        );
        std::fs::write(bin.join("ionroller"), script).unwrap();
        std::fs::set_permissions(bin.join("ionroller"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { path: format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()) }
    }

    fn run(&self, place: &Place, command: &str) -> String {
        let mut shell = place.command("bash");
        let output = shell.args(["-c", &format!("exec 2>&1\n{command}")]).env("PATH", &self.path).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}
