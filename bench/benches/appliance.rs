//! `make bench`: every measurement in one run, and the table.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that cannot be made must stop the run"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench::assertion::ClientKey;
use bench::bare::{self, Listening, Poster};
use bench::limits::{Limits, MEMORY_MAX_MIB, TIMES_MAX, verdict};
use bench::load::{Driven, drive};
use bench::pipeline::{self, Seen};
use bench::processor::{Watched, resident_kib, used};
use bench::raw::{self, Signatures};
use bench::replay::Replay;
use bench::report::{Row, table};
use bench::tour::{Lengths, Measure, tour};
use bench::{child, insert, machine, world};
use e2e::{Options, Stand};
use wire::Algorithm;

const RAW_LABEL: &str = "raw";
/// Connections of a load on authd, as many as it has to PostgreSQL; and of the load on the bare endpoint.
const CONNECTIONS: usize = 16;
const CONNECTIONS_BARE: usize = 32;
/// Of the replay, as many as insert durable rows.
const CONNECTIONS_REPLAY: usize = 8;

fn main() {
    // cargo adds a flag of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["bare", certificate, key] => bare::serve(Path::new(certificate), Path::new(key)),
        ["raw", module, pin, ms] => {
            raw::measure(Path::new(module), RAW_LABEL, Path::new(pin), of_ms(ms));
        }
        ["keyd", socket, uid, algorithm, ms] => {
            let algorithm = algorithm.parse().expect("the name of an algorithm");
            let uid = uid.parse().expect("a uid");
            pipeline::measure(socket.into(), uid, algorithm, of_ms(ms));
        }
        [] => run(Lengths::FULL),
        ["quick"] => run(Lengths::QUICK),
        _ => panic!("unknown words: {words:?}"),
    }
}

fn of_ms(word: &str) -> Duration {
    Duration::from_millis(word.parse().expect("milliseconds"))
}

fn run(lengths: Lengths) {
    let began = Instant::now();
    let mut stand = Stand::start(&Options {
        // All requests come from one address.
        set: vec![
            ("authd.auth_code_lifetime", "600"),
            ("authd.anonymous_burst", "1000000"),
            ("authd.anonymous_per_s", "100000"),
        ],
        ..Options::default()
    });
    machine::make_durable();
    let key = Arc::new(ClientKey::default());
    world::populate(&stand, &key);
    stand.wait_for_keys();
    let machine = machine::describe();
    let postmaster = machine::postmaster();
    let sockets = e2e::bench::bench().sockets();
    let (short, twice) = (lengths.short, lengths.short * 2);
    let limits = Limits {
        fdatasync: machine::fdatasync_rate(),
        inserts: [1, 8].map(|n| insert::measure(&sockets, postmaster, n, twice)).into(),
        bare: bare_endpoint(lengths),
        raw: raw_signatures(short),
        verified: key.verifications(short),
    };
    let mut rows = limits.rows();
    for algorithm in Algorithm::ALL {
        rows.push(limits.beside_raw(&keyd_signatures(&mut stand, algorithm, short)));
    }
    let mut measure = Measure::new(lengths, CONNECTIONS, watched(&mut stand, postmaster));
    tour(&stand, &key, &mut measure);
    let memory = memory(&mut stand);
    let load = machine::load();
    let mut replay = Replay::begin(&mut stand, postmaster, CONNECTIONS_REPLAY, lengths.requests);
    tour(&stand, &key, &mut replay);
    replay.check(&stand);
    rows.extend(beside(&limits, &measure, &replay));

    let mut out = std::io::stdout().lock();
    let took = began.elapsed().as_secs();
    let head = format!("measured in {took} s on {machine}; load at the end {load}");
    let notes =
        format!("{NOTES}\nbench/README.md says what each column means; target {TIMES_MAX}×.");
    writeln!(out, "{head}\n\n{}\n{notes}\n{memory}", table(&rows)).unwrap();
}

const NOTES: &str = "\
µs: processor time of one answer, over all cores; load: of the client that asks, on the same cores.
bound/s: all cores doing nothing but the parts, each at the price that it has alone; ours: what one answer costs,
as a multiple of that. Rates suffer from whatever else runs here, and from the load itself, which costs nothing in a
bound; multiples far less.";

fn watched(stand: &mut Stand, postmaster: u32) -> Watched {
    let node = stand.node(0);
    Watched {
        http: node.authd.pid().expect("authd runs"),
        signing: Some(node.keyd.pid().expect("keyd runs")),
        postmaster: Some(postmaster),
    }
}

/// Each kind of request once, beside its parts: the two tours went the same way.
fn beside(limits: &Limits, measure: &Measure, replay: &Replay) -> Vec<Row> {
    let mut known = Vec::new();
    let mut rows = Vec::new();
    for ((doing, driven), (said, replayed)) in measure.seen.iter().zip(&replay.seen) {
        assert_eq!(doing.what, said.what, "one tour went another way");
        if !known.contains(&doing.what) {
            known.push(doing.what);
            rows.push(limits.beside_parts(doing, driven, *replayed));
        }
    }
    rows
}

/// On a token of the same kind as keyd's, made for this; in a process of its own, because the module's
/// settings are a variable of its environment.
fn raw_signatures(length: Duration) -> Vec<Signatures> {
    let folder = e2e::bench::bench().dir().join("raw-token");
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/dev/token");
    let made = Command::new(script).arg(&folder).args([user.trim(), RAW_LABEL]).status().unwrap();
    assert!(made.success(), "packaging/dev/token ended with {made}");
    let mut command = child::part("raw");
    command.arg(machine::pkcs11_module()).arg(folder.join("pin"));
    command.arg(length.as_millis().to_string());
    command.env("SOFTHSM2_CONF", folder.join("softhsm2.conf"));
    child::outcome(&mut command)
}

/// A client as authd's user; what a signature costs is what keyd pays for it, its own check included.
fn keyd_signatures(stand: &mut Stand, algorithm: Algorithm, length: Duration) -> Signatures {
    let socket = stand.keyd_sign_socket(0);
    let keyd = stand.node(0).keyd.pid().expect("keyd runs");
    let mut command = child::part("keyd");
    command.arg(&socket).arg(child::uid_of("opentrusty-keyd").to_string()).arg(algorithm.name());
    command.arg(length.as_millis().to_string());
    child::run_as(&mut command, "opentrusty-authd");
    let before = used(keyd);
    let seen: Seen = child::outcome(&mut command);
    let count = f64::from(seen.count);
    Signatures {
        algorithm,
        at_once: pipeline::AT_ONCE,
        rate: count / seen.wall_s,
        each_us: used(keyd).saturating_sub(before).as_secs_f64() * 1e6 / count,
    }
}

fn bare_endpoint(lengths: Lengths) -> Driven {
    let (certificate, key) = bare::pair();
    let mut command = child::part("bare");
    command.arg(certificate).arg(key);
    let (mut endpoint, listening): (_, Listening) = child::hear(&mut command);
    let watched = Watched { http: endpoint.id(), signing: None, postmaster: None };
    let mut posters: Vec<_> = (0..CONNECTIONS_BARE).map(|_| Poster::new(listening.port)).collect();
    drive(&mut posters, lengths.warm, watched);
    let driven = drive(&mut posters, lengths.long, watched);
    drop(endpoint.stdin.take());
    endpoint.wait().unwrap();
    driven
}

fn memory(stand: &mut Stand) -> String {
    let admind = stand.admind_here().pid();
    let node = stand.node(0);
    let daemons = [("keyd", node.keyd.pid()), ("authd", node.authd.pid()), ("admind", admind)];
    let resident = daemons.map(|(name, pid)| {
        let mib = resident_kib(pid.expect("it runs")) / 1024;
        format!("{name} {mib} MiB: {}", verdict(mib <= MEMORY_MAX_MIB))
    });
    format!("resident after the loads, target {MEMORY_MAX_MIB} MiB: {}", resident.join(", "))
}
