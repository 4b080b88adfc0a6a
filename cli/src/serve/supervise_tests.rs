use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A daemon that is a shell script, in a folder of its own.
struct Bed(PathBuf);

impl Bed {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("opentrusty-serve-{}-{name}", std::process::id()));
        for part in ["log", "pids"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        Self(folder)
    }

    fn kept(&self, script: &str) -> Kept {
        let program = self.0.join("authd");
        fs::write(&program, format!("#!/bin/sh\ncd '{}'\n{script}\n", self.0.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let own = User::from_uid(nix::unistd::geteuid()).unwrap().unwrap();
        let daemon = Daemon {
            name: "authd",
            program,
            role: None,
            user: own.name,
            config: self.0.join("authd.toml"),
            env: BTreeMap::from([("MARK".to_owned(), "of the table".to_owned())]),
        };
        let instance = Instance { state: self.0.clone(), daemons: Vec::new() };
        let inherited = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        Kept::new(&instance, &daemon, &inherited).unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !condition(self) {
            assert!(Instant::now() < end, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[tokio::test]
async fn what_dies_is_started_again_and_what_is_stopped_is_not() {
    let bed = Bed::new("dies");
    // Dies twice, then stays until it is told to go.
    let kept = bed.kept(
        "echo x >> starts; [ $(wc -l < starts) -ge 3 ] || exit 1
         trap 'echo bye >> starts; exit 0' TERM; touch steady; while :; do sleep 0.01; done",
    );
    let (stop, stopped) = oneshot::channel();
    let keeping = kept.keep(stopped);
    let (kept_to_the_end, ()) = tokio::join!(keeping, async {
        bed.until("it runs", |bed| bed.0.join("steady").exists()).await;
        let pid = bed.text("pids/authd.pid").trim().parse().unwrap();
        assert!(rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok());
        stop.send(()).unwrap();
    });
    kept_to_the_end.unwrap();
    assert_eq!(bed.text("starts"), "x\nx\nx\nbye\n");
    assert!(!bed.0.join("pids/authd.pid").exists());
}

#[tokio::test]
async fn a_daemon_that_refuses_its_settings_is_quoted_and_not_started_again() {
    let bed = Bed::new("refuses");
    let kept = bed.kept("echo x >> starts; echo 'authd: `listen`: is bad' >&2; exit 78");
    let (_stop, stopped) = oneshot::channel();
    let failure = kept.keep(stopped).await.unwrap_err();
    assert!(matches!(failure, Failure::Config(_)), "exit 78");
    let text = failure.to_string();
    assert!(text.contains("`listen`: is bad") && text.contains("authd.toml"), "{text}");
    assert_eq!(bed.text("starts"), "x\n");
}

#[tokio::test]
async fn a_daemon_gets_its_settings_a_group_of_its_own_and_no_more_of_the_environment_than_it_needs()
 {
    let bed = Bed::new("environment");
    let kept = bed.kept("echo \"$*\" > args; env > env; ps -o pgid= -o pid= $$ > group; exit 78");
    let (_stop, stopped) = oneshot::channel();
    kept.keep(stopped).await.unwrap_err();
    assert_eq!(bed.text("args"), format!("--config {}\n", bed.0.join("authd.toml").display()));
    let names: Vec<String> = bed
        .text("env")
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !matches!(name.as_str(), "PWD" | "OLDPWD" | "SHLVL" | "_" | "HOME"))
        .collect();
    assert_eq!(
        names.iter().collect::<std::collections::BTreeSet<_>>(),
        [&"MARK".to_owned(), &"PATH".to_owned()].into()
    );
    let group = bed.text("group");
    let numbers: Vec<&str> = group.split_whitespace().collect();
    assert_eq!(numbers[0], numbers[1], "the leader of its own group");
}

#[test]
fn an_instance_is_kept_by_one_supervisor() {
    let bed = Bed::new("alone");
    let first = alone(&bed.0).unwrap();
    assert!(alone(&bed.0).is_err());
    drop(first);
    assert!(alone(&bed.0).is_ok());
}
