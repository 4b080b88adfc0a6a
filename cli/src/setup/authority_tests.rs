use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::certificate::{Chain, Roots, Trust};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

struct Folder(PathBuf);

impl Folder {
    /// Each its own: tests judge the same names side by side.
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("opentrusty-ca-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn hosts(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What a verifier that believes an authority for `permitted` says of a leaf for `host` at `at`.
fn verdict(permitted: &[&str], host: &str, at_s: u64) -> Trust {
    let folder = Folder::new();
    let ca = authority(&hosts(permitted), NOW).unwrap();
    let leaf = leaf(host, &ca.key, NOW).unwrap();
    let chain = folder.file("leaf.pem", &leaf.certificate);
    let key = folder.file("leaf.key", &leaf.key);
    let roots = Roots::new(Some(&folder.file("ca.pem", &ca.certificate))).unwrap();
    let chain = Chain::load(&chain).unwrap();
    chain.matches(&key).unwrap();
    assert!(chain.matches(&folder.file("ca.key", &ca.key)).is_err(), "another key");
    if permitted.contains(&host) {
        assert_eq!(chain.trust("other.example", &roots, NOW), Trust::OtherHost);
    }
    chain.trust(host, &roots, at_s)
}

#[test]
fn the_local_authority_speaks_for_its_hosts_for_a_while() {
    for host in ["auth.example.com", "localhost", "192.0.2.7", "2001:db8::7"] {
        assert_eq!(verdict(&[host], host, NOW), Trust::Days(LEAF_DAYS), "{host}");
    }
    let both = ["auth.example.com", "192.0.2.7"];
    for host in both {
        assert_eq!(verdict(&both, host, NOW + 30 * DAY), Trust::Days(LEAF_DAYS - 30), "{host}");
    }
    assert_eq!(verdict(&["localhost"], "localhost", NOW + 398 * DAY), Trust::Expired);
    assert_eq!(verdict(&["localhost"], "localhost", NOW - 2 * 3600), Trust::NotYet);
}

#[test]
fn its_stolen_key_speaks_for_nobody_else() {
    for (permitted, stolen) in [
        ("auth.example.com", "bank.example"),
        ("auth.example.com", "192.0.2.7"),
        ("auth.example.com", "2001:db8::7"),
        ("192.0.2.7", "192.0.2.8"),
        ("192.0.2.7", "2001:db8::7"),
        ("192.0.2.7", "bank.example"),
    ] {
        let said = verdict(&[permitted], stolen, NOW);
        assert!(matches!(said, Trust::Unfit(_)), "{permitted} signs {stolen}: {said:?}");
    }
}

#[test]
fn two_authorities_are_strangers() {
    let folder = Folder::new();
    let [ours, theirs] = [(); 2].map(|()| authority(&hosts(&["localhost"]), NOW).unwrap());
    let chain = folder.file("leaf.pem", &leaf("localhost", &theirs.key, NOW).unwrap().certificate);
    let roots = Roots::new(Some(&folder.file("ca.pem", &ours.certificate))).unwrap();
    let said = Chain::load(&chain).unwrap().trust("localhost", &roots, NOW);
    assert!(matches!(said, Trust::UnknownAuthority | Trust::Unfit(_)), "{said:?}");
    assert!(Roots::new(Some(&folder.file("empty.pem", ""))).is_err());
}
