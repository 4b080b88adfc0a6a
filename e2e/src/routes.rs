//! The routes of a plane, read from the one match of its router: whoever lists endpoints is held to them.

use std::collections::BTreeSet;
use std::path::Path;

/// The paths that the router of `authd` or `admind` matches: `/`-separated, `*` where a segment is anything.
pub fn routes(plane: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    patterns(&std::fs::read_to_string(root.join(plane).join("src/routes.rs")).unwrap())
}

fn patterns(source: &str) -> BTreeSet<String> {
    let body = source.split_once("async fn route(").unwrap().1;
    let body = body.split_once("\nfn ").map_or(body, |(body, _)| body);
    let mut found = BTreeSet::new();
    for line in body.lines().map(str::trim) {
        let Some((pattern, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        else {
            continue;
        };
        if pattern.contains("..") {
            continue;
        }
        let mut paths = vec![String::new()];
        for segment in pattern.split(',').map(str::trim).filter(|segment| !segment.is_empty()) {
            let choices: Vec<String> = if segment.starts_with('"') {
                segment.split('|').map(|word| word.trim().trim_matches('"').to_owned()).collect()
            } else {
                vec!["*".to_owned()]
            };
            paths = paths
                .iter()
                .flat_map(|path| choices.iter().map(move |choice| format!("{path}/{choice}")))
                .collect();
        }
        found.extend(paths.into_iter().map(|path| if path.is_empty() { "/".into() } else { path }));
    }
    found
}
