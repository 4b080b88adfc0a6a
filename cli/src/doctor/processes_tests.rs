use super::super::finding::Verdict;
use super::*;

const STATUS: &str = "Name:\tkeyd\nUid:\t991\t991\t991\t991\nVmLck:\t   16500 kB\n\
    CapPrm:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

fn worst(process: &Process) -> Verdict {
    judge_process(Daemon::Keyd, Some(991), process).iter().map(|one| one.verdict).max().unwrap()
}

#[test]
fn a_confined_process_is_in_order_and_each_lack_is_seen() {
    let good = parse_status(STATUS);
    assert_eq!(worst(&good), Verdict::Ok);
    for (line, instead) in [
        ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
        ("Seccomp:\t2", "Seccomp:\t0"),
        ("Seccomp:\t2", "Seccomp:\t1"),
        ("CapBnd:\t0000000000000000", "CapBnd:\t0000000000000400"),
        ("CapBnd:\t0000000000000000", "CapBnd:\tgarbage"),
        ("CapPrm:\t0000000000000000", "CapPrm:\t0000000000200000"),
        ("Uid:\t991\t991", "Uid:\t991\t0"),
        ("Uid:\t991\t991\t991\t991", "Uid:\t0\t0\t0\t0"),
        ("Uid:\t991\t991\t991\t991", "Uid:"),
    ] {
        let text = STATUS.replace(line, instead);
        assert_ne!(text, STATUS, "{line}");
        assert_eq!(worst(&parse_status(&text)), Verdict::Fail, "{instead}");
    }
    let loose = STATUS.replace("16500", "0");
    assert_eq!(worst(&parse_status(&loose)), Verdict::Warn);
    assert_eq!(worst(&parse_status("")), Verdict::Fail, "nothing was read");
    let port = Process { listening: vec!["00000000:1F90".into()], ..good };
    assert_eq!(worst(&port), Verdict::Fail);
    assert!(
        judge_process(Daemon::Keyd, None, &parse_status(STATUS))
            .iter()
            .any(|one| one.verdict == Verdict::Fail)
    );
}

#[test]
fn a_listening_socket_is_told_from_others() {
    let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n\
   1: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000   991        0 2 1\n\
   2: 0100007F:2329 0100007F:1538 01 00000000:00000000 00:00000000 00000000   991        0 3 1\n";
    assert_eq!(listeners(table, Some(991)), ["0100007F:2328"]);
    assert!(listeners(table, Some(5)).is_empty() && listeners("", Some(991)).is_empty());
}

#[test]
fn a_unit_is_judged_by_what_systemd_says() {
    let show = |active: &str, restarts: u32| {
        parse_unit(&format!(
            "LoadState=loaded\nActiveState={active}\nSubState=x\nNRestarts={restarts}\nMainPID=7\n"
        ))
    };
    assert_eq!(show("active", 0).pid, Some(7));
    for (unit, expected) in [
        (show("active", 0), Verdict::Ok),
        (show("active", 3), Verdict::Warn),
        (show("activating", 0), Verdict::Fail),
        (show("failed", 0), Verdict::Fail),
        (show("inactive", 0), Verdict::Fail),
        (parse_unit("LoadState=not-found\nActiveState=inactive\nMainPID=0\n"), Verdict::Fail),
        (parse_unit(""), Verdict::Fail),
    ] {
        assert_eq!(judge_unit(Daemon::Authd, &unit).verdict, expected, "{unit:?}");
    }
}

#[test]
fn exposure_is_the_number_that_is_published() {
    let table = "→ Overall exposure level for opentrusty-keyd.service: 0.2 OK 🙂";
    assert_eq!(overall(table), Some(2));
    assert_eq!(overall("→ Overall exposure level for x: 10.0 UNSAFE"), Some(100));
    assert_eq!(overall("nothing"), None);
    assert_eq!(judge_exposure(Daemon::Keyd, 4).verdict, Verdict::Ok);
    assert_eq!(judge_exposure(Daemon::Keyd, 5).verdict, Verdict::Warn);
    assert_eq!(judge_exposure(Daemon::Courier, 13).verdict, Verdict::Ok);
}
