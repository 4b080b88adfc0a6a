//! What the SQL of a request costs by itself: the statements that authd was heard to say, said again with the same
//! values by nothing but the driver, to a copy of the database as it was when the recording began.
//!
//! A gate finds in the copy what it found then, so it does the same work: spends the same code, writes the same rows.
//! Values are sent as text and cast, which costs PostgreSQL a microsecond or so for each statement.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use e2e::Stand;
use e2e::bench::{bench, until};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Either, Executor as _, SqlSafeStr as _, Statement as _,
    TypeInfo as _,
};
use tokio::runtime::Runtime;

use crate::load::Worker;
use crate::processor::{used, used_by_family};
use crate::recording::{Chain, Recorder, Said};
use crate::tour::{Doing, Way};

const COPY: &str = "replay";
/// How often what only reads is said again: one round is too short for the clock of processor time.
const READ_ROUNDS: usize = 20;

/// What the SQL of one request cost.
#[derive(Debug, Clone, Copy)]
pub struct Replayed {
    /// Round trips.
    pub trips: f64,
    /// Processor time of PostgreSQL, in microseconds.
    pub postgres_us: f64,
    /// Of this process, which is the driver alone, in microseconds.
    pub driver_us: f64,
}

/// Records each kind of request, and says its SQL again.
pub struct Replay {
    recorder: Recorder,
    /// Requests of each worker: before they count, and that count.
    requests: (usize, usize),
    postmaster: u32,
    runtime: Runtime,
    connections: Vec<PgConnection>,
    /// Each statement with its values cast.
    cast: HashMap<Arc<str>, Arc<str>>,
    /// What came of it.
    pub seen: Vec<(Doing, Replayed)>,
}

impl Replay {
    /// Copies the database while nobody is connected to it, starts the daemons again with the log on, and connects
    /// `workers` times to the copy as authd does.
    pub fn begin(
        stand: &mut Stand,
        postmaster: u32,
        workers: usize,
        requests: (usize, usize),
    ) -> Self {
        stand.node(0).authd.kill9();
        stand.admind().kill9();
        let database = stand.database().to_owned();
        let others = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
        until("the database is left alone", Duration::from_secs(30), || {
            (bench().psql("postgres", "postgres", &others).unwrap() == "0").then_some(())
        });
        bench().database(COPY, Some(&database));
        let recorder = Recorder::begin(&database);
        stand.admind().start();
        stand.node(0).authd.start();
        stand.wait_ready();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = PgConnectOptions::new_without_pgpass()
            .socket(bench().sockets())
            .username("opentrusty_authd")
            .database(COPY)
            .statement_cache_capacity(500)
            .options([("search_path", "public")]);
        let connections = runtime.block_on(async {
            let mut all = Vec::new();
            for _ in 0..workers {
                all.push(options.connect().await.unwrap());
            }
            all
        });
        let (cast, seen) = (HashMap::new(), Vec::new());
        Self { recorder, requests, postmaster, runtime, connections, cast, seen }
    }

    /// Holds the copy against what it is a copy of: a gate that found something else would have left fewer rows.
    pub fn check(&self, stand: &Stand) {
        let count = "SELECT (SELECT count(*) FROM grants), (SELECT count(*) FROM access_tokens),
             (SELECT count(*) FROM refresh_tokens), (SELECT count(*) FROM refresh_tokens WHERE rotated_at IS NOT NULL)";
        let rows = |database: &str| bench().psql(database, "postgres", count).unwrap();
        assert_eq!(rows(COPY), rows(stand.database()), "the same statements did something else");
    }

    /// Makes every statement of a chain one whose values are text.
    fn prepare(&mut self, said: &mut [Said]) {
        for said in said {
            let Said::Prepared(sql, _) = said else { continue };
            if !self.cast.contains_key(sql) {
                let connection = self.connections.first_mut().expect("a connection");
                let types = self.runtime.block_on(types(connection, sql));
                self.cast.insert(Arc::clone(sql), cast(sql, &types).into());
            }
            *sql = Arc::clone(&self.cast[sql]);
        }
    }

    /// Says a round of chains, each on a connection of its own.
    fn say(&mut self, mut round: Vec<(Arc<[Said]>, usize)>) {
        let connections = std::mem::take(&mut self.connections);
        round.resize(connections.len(), (Arc::from([]), 0));
        self.connections = self.runtime.block_on(async {
            let tasks: Vec<_> = connections
                .into_iter()
                .zip(round)
                .map(|(connection, (said, times))| tokio::spawn(say(connection, said, times)))
                .collect();
            let mut connections = Vec::new();
            for task in tasks {
                connections.push(task.await.unwrap());
            }
            connections
        });
    }

    fn measure(&mut self, doing: Doing, chains: Vec<Chain>) -> Replayed {
        let times = if doing.reads { READ_ROUNDS } else { 1 };
        let (mut warm, mut counted) = (Vec::new(), Vec::new());
        for mut chain in chains {
            self.prepare(&mut chain.warm);
            self.prepare(&mut chain.counted);
            warm.push((Arc::from(chain.warm), 1));
            counted.push((Arc::from(chain.counted), times));
        }
        let trips: usize = counted.iter().map(|(said, _): &(Arc<[Said]>, usize)| said.len()).sum();
        if trips == 0 {
            return Replayed { trips: 0.0, postgres_us: 0.0, driver_us: 0.0 };
        }
        self.say(warm);
        let before = (used_by_family(self.postmaster), used(std::process::id()));
        self.say(counted);
        let postgres = used_by_family(self.postmaster).saturating_sub(before.0);
        let driver = used(std::process::id()).saturating_sub(before.1);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let (trips, requests) = (trips as f64, (self.connections.len() * self.requests.1) as f64);
        #[expect(clippy::cast_precision_loss, reason = "a number below a hundred")]
        let all = requests * times as f64;
        Replayed {
            trips: trips / requests,
            postgres_us: postgres.as_secs_f64() * 1e6 / all,
            driver_us: driver.as_secs_f64() * 1e6 / all,
        }
    }
}

impl Way for Replay {
    fn workers(&self) -> usize {
        self.connections.len()
    }

    fn go<W: Worker>(&mut self, doing: Doing, workers: &mut [W]) {
        let mut before = self.recorder.between();
        let chains = self.recorder.record(workers, self.requests);
        self.prepare(&mut before);
        self.say(vec![(Arc::from(before), 1)]);
        let replayed = self.measure(doing, chains);
        self.seen.push((doing, replayed));
    }
}

async fn say(mut connection: PgConnection, said: Arc<[Said]>, times: usize) -> PgConnection {
    for _ in 0..times {
        for said in said.iter() {
            match said {
                Said::Plain(sql) => {
                    connection
                        .execute(sqlx::raw_sql(AssertSqlSafe(Arc::clone(sql))))
                        .await
                        .unwrap();
                }
                Said::Prepared(sql, values) => {
                    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
                    for value in values.iter() {
                        query = query.bind(value.as_deref());
                    }
                    let rows = query.fetch_all(&mut connection).await.unwrap();
                    std::hint::black_box(rows);
                }
            }
        }
    }
    connection
}

async fn types(connection: &mut PgConnection, sql: &Arc<str>) -> Vec<String> {
    let sql = AssertSqlSafe(Arc::clone(sql)).into_sql_str();
    let statement = connection.prepare(sql).await.unwrap();
    match statement.parameters() {
        Some(Either::Left(types)) => types.iter().map(|kind| kind.name().to_owned()).collect(),
        Some(Either::Right(_)) | None => Vec::new(),
    }
}

/// `$1` becomes `($1::text::uuid)`.
fn cast(sql: &str, types: &[String]) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        match number.parse::<usize>().ok().and_then(|number| types.get(number.checked_sub(1)?)) {
            Some(kind) => write!(text, "(${number}::text::{kind}){rest}").unwrap(),
            None => write!(text, "${part}").unwrap(),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_cast_from_text_to_what_it_was() {
        let types = ["UUID", "TEXT[]"].map(str::to_owned);
        assert_eq!(
            cast("SELECT $1, $2::text[], $1 || '$' || $3", &types),
            "SELECT ($1::text::UUID), ($2::text::TEXT[])::text[], ($1::text::UUID) || '$' || $3"
        );
    }
}
