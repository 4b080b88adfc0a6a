//! The committed corpora through their properties, without libFuzzer: on the stable toolchain, in CI.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let listed = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn names(folder: &str) -> BTreeSet<String> {
    let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries(folder).into_iter().map(name).collect()
}

#[test]
fn every_input_of_every_corpus_keeps_its_property() {
    for (name, target) in fuzz::TARGETS {
        let corpus = entries(&format!("corpus/{name}"));
        let mut accepted = 0;
        for path in &corpus {
            let bytes = fs::read(path).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            accepted += usize::from(outcome.unwrap_or_else(|_| panic!("{}", path.display())));
        }
        // A corpus that knows one verdict only would pass with a parser that knows no other.
        assert!(accepted >= 3, "{name}: {accepted} of {} inputs are accepted", corpus.len());
        assert!(corpus.len() >= accepted + 3, "{name}: almost all of {} pass", corpus.len());
    }
}

#[test]
fn targets_files_and_corpora_have_the_same_names() {
    let targets: BTreeSet<String> =
        fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), fuzz::TARGETS.len());
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}

#[test]
fn corpora_stay_small() {
    let length = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let corpora = fuzz::TARGETS.iter().map(|(name, _)| entries(&format!("corpus/{name}")));
    let total: u64 = corpora.flatten().map(|path| length(&path)).sum();
    assert!(total < 300 * 1024, "{total} bytes");
}
