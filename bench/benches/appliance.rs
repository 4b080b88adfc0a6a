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
use std::time::{Duration, Instant};

use bench::bare::{self, Listening, Poster};
use bench::grants::{Asker, Codes, Door, Redeemer, Refresher, populate};
use bench::limits::Limits;
use bench::load::{Driven, Worker, drive};
use bench::pipeline::{self, Seen};
use bench::processor::{Watched, resident_kib, used};
use bench::raw::{self, Signatures};
use bench::report::{Row, table};
use bench::{child, insert, machine};
use e2e::{Options, Stand};
use wire::Algorithm;

/// Before anything is counted: plans are prepared, caches filled.
const WARM: Duration = Duration::from_millis(500);
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(5);
/// How long codes are gathered.
const GATHER: Duration = Duration::from_secs(8);
const RAW_LABEL: &str = "raw";
/// Connections of a load on authd, as many as it has to PostgreSQL; and of the load on the bare endpoint.
const CONNECTIONS: usize = 16;
const CONNECTIONS_BARE: usize = 32;

fn main() {
    // cargo adds a flag of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["bare", certificate, key] => bare::serve(Path::new(certificate), Path::new(key)),
        ["raw", module, pin] => raw::measure(Path::new(module), RAW_LABEL, Path::new(pin), SHORT),
        ["keyd", socket, uid, algorithm] => {
            let algorithm = algorithm.parse().expect("the name of an algorithm");
            pipeline::measure(socket.into(), uid.parse().expect("a uid"), algorithm, SHORT);
        }
        [] => run(),
        _ => panic!("unknown words: {words:?}"),
    }
}

fn run() {
    let began = Instant::now();
    let mut stand = Stand::start(&Options {
        set: vec![("authd.auth_code_lifetime", "600")],
        ..Options::default()
    });
    machine::make_durable();
    populate(&stand);
    let machine = machine::describe();
    let postmaster = machine::postmaster();
    let sockets = e2e::bench::bench().sockets();
    let limits = Limits {
        fdatasync: machine::fdatasync_rate(),
        inserts: [1, 8].map(|n| insert::measure(&sockets, postmaster, n, SHORT + SHORT)).into(),
        bare: bare_endpoint(),
        raw: raw_signatures(),
    };
    let mut rows = limits.rows();
    for algorithm in Algorithm::ALL {
        rows.push(limits.beside_raw(&keyd_signatures(&mut stand, algorithm)));
    }
    rows.extend(grants(&mut stand, &limits, postmaster));

    let mut out = std::io::stdout().lock();
    let (load, took) = (machine::load(), began.elapsed().as_secs());
    let memory = memory(&mut stand);
    let head = format!("measured in {took} s on {machine}; load at the end {load}");
    writeln!(out, "{head}\n\n{}\n{NOTES}\n{memory}", table(&rows)).unwrap();
}

const NOTES: &str = "\
µs: processor time of one answer, over all cores; load: of the client that asks, on the same cores.
bound/s of a token request: all cores doing nothing but its parts, each at the price that it has alone above:
one bare POST + one durable row of 8 clients + its signatures; ours: what one answer costs, as a multiple of that.
Rates suffer from whatever else runs here, and from the load itself, which costs nothing in a bound; multiples far less.";

/// Codes first, because they can be spent only once; then every connection goes on with its refresh token.
fn grants(stand: &mut Stand, limits: &Limits, postmaster: u32) -> Vec<Row> {
    let node = stand.node(0);
    let watched = Watched {
        http: node.authd.pid().expect("authd runs"),
        signing: Some(node.keyd.pid().expect("keyd runs")),
        postmaster: Some(postmaster),
    };
    let (asked, with_rsa, _) = codes(stand, "rs", watched);
    let (_, without_rsa, redeemers) = codes(stand, "es", watched);
    let mut refreshers: Vec<Refresher> =
        redeemers.into_iter().map(Redeemer::into_refresher).collect();
    let refreshed = warm_and_drive(&mut refreshers, watched);
    refreshers.iter_mut().for_each(Refresher::leave_out_openid);
    let narrowed = warm_and_drive(&mut refreshers, watched);
    let (es, rs) = (Algorithm::Es256, Algorithm::Rs256);
    vec![
        Row::of("code for a person signed in, 2 requests", &asked),
        limits.beside_parts("code exchange, RS256 ID token", &with_rsa, &[es, rs]),
        limits.beside_parts("code exchange, ES256 ID token", &without_rsa, &[es, es]),
        limits.beside_parts("refresh, ES256 ID token", &refreshed, &[es, es]),
        limits.beside_parts("refresh, no ID token", &narrowed, &[es]),
    ]
}

/// Gathers codes for a while, and exchanges all of them.
fn codes(stand: &Stand, client: &'static str, watched: Watched) -> (Driven, Driven, Vec<Redeemer>) {
    let door = Door::open(stand, client);
    let codes = Codes::default();
    let mut askers: Vec<_> = (0..CONNECTIONS).map(|_| Asker::new(&door, &codes)).collect();
    let asked = drive(&mut askers, GATHER, watched);
    let mut redeemers: Vec<_> = (0..CONNECTIONS).map(|_| Redeemer::new(&door, &codes)).collect();
    let redeemed = warm_and_drive(&mut redeemers, watched);
    (asked, redeemed, redeemers)
}

fn warm_and_drive<W: Worker>(workers: &mut [W], watched: Watched) -> Driven {
    drive(workers, WARM, watched);
    drive(workers, LONG, watched)
}

/// On a token of the same kind as keyd's, made for this; in a process of its own, because the module's
/// settings are a variable of its environment.
fn raw_signatures() -> Vec<Signatures> {
    let folder = e2e::bench::bench().dir().join("raw-token");
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/dev/token");
    let made = Command::new(script).arg(&folder).args([user.trim(), RAW_LABEL]).status().unwrap();
    assert!(made.success(), "packaging/dev/token ended with {made}");
    let mut command = child::part("raw");
    command.arg(machine::pkcs11_module()).arg(folder.join("pin"));
    command.env("SOFTHSM2_CONF", folder.join("softhsm2.conf"));
    child::outcome(&mut command)
}

/// A client as authd's user; what a signature costs is what keyd pays for it, its own check included.
fn keyd_signatures(stand: &mut Stand, algorithm: Algorithm) -> Signatures {
    let socket = stand.keyd_sign_socket(0);
    let keyd = stand.node(0).keyd.pid().expect("keyd runs");
    let mut command = child::part("keyd");
    command.arg(&socket).arg(child::uid_of("opentrusty-keyd").to_string()).arg(algorithm.name());
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

fn bare_endpoint() -> Driven {
    let (certificate, key) = bare::pair();
    let mut command = child::part("bare");
    command.arg(certificate).arg(key);
    let (mut endpoint, listening): (_, Listening) = child::hear(&mut command);
    let watched = Watched { http: endpoint.id(), signing: None, postmaster: None };
    let mut posters: Vec<_> = (0..CONNECTIONS_BARE).map(|_| Poster::new(listening.port)).collect();
    let driven = warm_and_drive(&mut posters, watched);
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
        format!("{name} {mib} MiB")
    });
    format!("resident afterwards: {}", resident.join(", "))
}
