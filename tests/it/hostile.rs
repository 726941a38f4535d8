//! Hostile input, replayed: the functions that `scripts/fuzz` gives to libFuzzer, with the
//! inputs that are kept in `fuzz/seeds` and what was found (`fuzz/found`), without libFuzzer.

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::{Path, PathBuf};

use ionroller::desired::files::{ConfigFiles, FileContent};
use ionroller::git;

use fuzz::TARGETS;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, sorted; none where there is no folder.
fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Says which input it was; the panic itself has said what is wrong.
fn replay(target: &str, folder: &str) -> usize {
    let (_, run) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let files = inputs(&root().join("fuzz").join(folder).join(target));
    for file in &files {
        let data = std::fs::read(file).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| run(&data)) {
            println!("the input was {}", file.display());
            std::panic::resume_unwind(panic);
        }
    }
    files.len()
}

#[test]
fn what_was_found_stays_mended() {
    let replayed: usize = TARGETS.iter().map(|(target, _)| replay(target, "found")).sum();
    let kept = inputs(&root().join("fuzz/found")).iter().map(|folder| inputs(folder).len()).sum::<usize>();
    assert_eq!(replayed, kept, "fuzz/found holds a folder that is no target's");
}

#[test]
fn every_seed_passes() {
    for (target, _) in TARGETS {
        assert!(replay(target, "seeds") > 0, "{target} has no seeds");
    }
}

/// Some hundred inputs that are nobody's choice, the same in every run.
#[test]
fn bytes_without_a_meaning_do_no_harm() {
    let mut random = fastrand::Rng::with_seed(20);
    for (target, run) in TARGETS {
        // Objects of Git are written to a disk.
        let inputs = if target == "tree" { 10 } else { 100 };
        for _ in 0..inputs {
            let mut data: Vec<u8> = (0..random.usize(0..2_000)).map(|_| random.u8(..)).collect();
            if random.bool() {
                data.insert(0, 0);
            }
            run(&data);
        }
    }
}

#[test]
fn sample_configurations_pass_and_so_do_their_ruins() {
    let mut random = fastrand::Rng::with_seed(7);
    for folder in ["valid", "invalid"].iter().flat_map(|kind| inputs(&root().join("tests/sample-configs").join(kind))) {
        let files = git::read_folder(&folder).unwrap();
        let files = ConfigFiles { root: String::new(), ..files };
        fuzz::config::look(&files, false);
        for _ in 0..5 {
            fuzz::config::look(&ruined(&files, &mut random), false);
        }
    }
}

/// One file with a piece cut out, doubled or overwritten.
fn ruined(files: &ConfigFiles, random: &mut fastrand::Rng) -> ConfigFiles {
    let mut files = files.clone();
    let chosen = random.usize(0..files.files.len().max(1));
    if let Some(FileContent::Bytes(bytes)) = files.files.values_mut().nth(chosen)
        && !bytes.is_empty()
    {
        let from = random.usize(0..bytes.len());
        let to = bytes.len().min(from + random.usize(0..=40));
        let piece = bytes[from..to].to_vec();
        match random.u8(0..3) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.splice(from..from, piece.repeat(3)).for_each(drop),
            _ => bytes[from..to].iter_mut().for_each(|byte| *byte = random.u8(..)),
        }
    }
    files
}
