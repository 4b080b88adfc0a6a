//! What each database role may do, tried rather than read: every verb on every table, view, column and
//! function, compared with the checked-in `matrix/roles.txt`; and what no grant may ever allow.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test support: a failure here is the failure of the test that asked"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use e2e::bench::bench;

const TEMPLATE: &str = "opentrusty_template";
const OWNER: &str = "opentrusty_owner";
const ROLES: [&str; 4] =
    ["opentrusty_authd", "opentrusty_admind", "opentrusty_courier", "opentrusty_auditor"];
/// What PostgreSQL answers to whom it does not allow something.
const DENIED: &str = "42501";

/// A database of this binary's own, migrated and empty.
fn database() -> &'static str {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| bench().database("walls_roles", Some(TEMPLATE)));
    "walls_roles"
}

fn owner(sql: &str) -> String {
    bench().psql(database(), OWNER, sql).unwrap()
}

/// Try statements as a role, each in a transaction that is rolled back; the SQLSTATE of each.
fn attempt(role: &str, statements: &[String]) -> Vec<String> {
    let mut script = String::new();
    for statement in statements {
        writeln!(
            script,
            "BEGIN;\n{statement};\n\\set outcome :SQLSTATE\nROLLBACK;\n\\echo @:outcome"
        )
        .unwrap();
    }
    let mut psql = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-d", database(), "-U", role, "-h"])
        .arg(bench().sockets())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = psql.stdin.take().unwrap();
    // psql's answers can fill their pipe before it has read all of this.
    let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = psql.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let states: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix('@')).map(str::to_owned).collect();
    assert_eq!(states.len(), statements.len(), "psql as {role} answers each statement");
    states
}

fn state(role: &str, statement: &str) -> String {
    attempt(role, &[statement.to_owned()]).remove(0)
}

/// Every table and view of ours and its columns with their types. The monthly partitions of audit are one
/// entry: which months there are depends on the day.
fn relations() -> BTreeMap<String, Vec<(String, String)>> {
    let rows = owner(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
         ORDER BY c.relname, a.attnum",
    );
    let mut relations: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in rows.lines() {
        let mut parts = row.split('|').map(str::to_owned);
        let mut next = || parts.next().unwrap();
        relations.entry(next()).or_default().push((next(), next()));
    }
    assert!(relations.len() > 20, "{relations:?}");
    relations
}

fn display(relation: &str) -> &str {
    match relation.strip_prefix("audit_events_") {
        Some(month) if month.bytes().all(|byte| byte.is_ascii_digit()) => "audit_events_YYYYMM",
        _ => relation,
    }
}

type Attempt = (&'static str, Option<String>, String);

/// One statement per verb, and one per verb and column where a grant can be on a column. None can touch a
/// row: what is asked is whether the statement may begin.
fn attempts(relation: &str, columns: &[(String, String)]) -> Vec<Attempt> {
    let mut all = vec![
        ("DELETE", None, format!("DELETE FROM {relation} WHERE false")),
        ("TRUNCATE", None, format!("TRUNCATE {relation}")),
        ("LOCK", None, format!("LOCK TABLE {relation} IN ACCESS EXCLUSIVE MODE")),
    ];
    for (column, kind) in columns {
        let of = |sql: String, verb: &'static str| (verb, Some(column.clone()), sql);
        all.push(of(format!("SELECT {column} FROM {relation} WHERE false"), "SELECT"));
        all.push(of(
            format!(
                "INSERT INTO {relation} ({column}) OVERRIDING SYSTEM VALUE SELECT NULL::{kind} WHERE false"
            ),
            "INSERT",
        ));
        all.push(of(format!("UPDATE {relation} SET {column} = DEFAULT WHERE false"), "UPDATE"));
    }
    all
}

/// The lines of the matrix for one role: only what is allowed. All columns of a table are `*`.
fn lines_of(role: &str) -> Vec<String> {
    let relations = relations();
    let listed: Vec<(String, Attempt)> = relations
        .iter()
        .flat_map(|(relation, columns)| {
            attempts(relation, columns).into_iter().map(|one| (display(relation).to_owned(), one))
        })
        .collect();
    let statements: Vec<String> = listed.iter().map(|(_, (_, _, sql))| sql.clone()).collect();
    let mut allowed: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for ((relation, (verb, column, sql)), state) in
        listed.into_iter().zip(attempt(role, &statements))
    {
        match state.as_str() {
            "00000" => allowed.entry((relation, verb)).or_default().extend(column),
            // Denied; or a view that nobody can write, or a lock that needs a grant of its own.
            DENIED | "55000" | "42809" | "0A000" => {}
            other => panic!("{role}: {sql}: {other}"),
        }
    }
    allowed
        .into_iter()
        .map(|((relation, verb), mut columns)| {
            columns.sort();
            columns.dedup();
            let all = relations.get(&relation).is_some_and(|all| all.len() == columns.len());
            let columns =
                if all || columns.is_empty() { "*".to_owned() } else { columns.join(" ") };
            format!("{relation} {role} {verb} {columns}")
        })
        .collect()
}

fn functions_of(role: &str) -> Vec<String> {
    let functions: Vec<String> = owner(
        "SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY 1",
    )
    .lines()
    .map(str::to_owned)
    .collect();
    let call = |function: &String| {
        // Whether it may be called, not what it does: its arguments may well be nonsense.
        let (name, arguments) = function.split_once('(').unwrap();
        let nulls: Vec<&str> = match arguments.trim_end_matches(')') {
            "" => Vec::new(),
            list => list.split(',').map(|_| "NULL").collect(),
        };
        format!("SELECT {name}({})", nulls.join(","))
    };
    let calls: Vec<String> = functions.iter().map(call).collect();
    let states = attempt(role, &calls);
    let may = functions.iter().zip(states).filter(|(_, state)| state != DENIED);
    may.map(|(function, _)| format!("{function} {role} EXECUTE *")).collect()
}

#[test]
fn w166_every_verb_on_every_table_by_every_role_is_as_the_matrix_says() {
    let mut lines: Vec<String> =
        ROLES.iter().flat_map(|role| [lines_of(role), functions_of(role)].concat()).collect();
    lines.sort();
    lines.dedup();
    let mut actual = String::from(
        "# What each role may do in the database; what is not here is denied. Found by trying every verb on\n\
         # every column: tests/walls_roles.rs. The owner alone does everything else.\n",
    );
    for line in &lines {
        writeln!(actual, "{line}").unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix/roles.txt");
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    if actual == expected {
        return;
    }
    let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("roles.txt");
    std::fs::write(&found, &actual).unwrap();
    let (was, is): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let mut diff = String::new();
    for line in was.iter().filter(|line| !is.contains(line)) {
        writeln!(diff, "- {line}").unwrap();
    }
    for line in is.iter().filter(|line| !was.contains(line)) {
        writeln!(diff, "+ {line}").unwrap();
    }
    panic!(
        "the grants are not those of e2e/matrix/roles.txt:\n{diff}\
         If that is meant, review it and run: cp {} e2e/matrix/roles.txt",
        found.display()
    );
}

#[test]
fn w166_nobody_but_the_owner_changes_or_removes_an_audit_row() {
    let tables = owner(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
         AND relkind IN ('r', 'p') AND relname ~ '^audit_'",
    );
    assert!(tables.lines().count() > 12, "{tables}");
    for role in ROLES {
        let mut statements = Vec::new();
        for table in tables.lines() {
            statements.extend([
                format!("UPDATE {table} SET data = '{{}}'"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table}"),
                format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
                format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"),
                format!("DROP TABLE {table}"),
            ]);
        }
        for (statement, state) in statements.iter().zip(attempt(role, &statements)) {
            assert_eq!(state, DENIED, "{role}: {statement}");
        }
    }
    // Partitions are written through their parent alone: its policies do not hold on them.
    let insert = |table| {
        format!("INSERT INTO {table} (plane, type, actor_type) VALUES ('auth', 'x', 'system')")
    };
    let direct: Vec<String> =
        tables.lines().filter(|table| *table != "audit_events").map(insert).collect();
    for role in ROLES {
        for (statement, state) in direct.iter().zip(attempt(role, &direct)) {
            assert_eq!(state, DENIED, "{role}: {statement}");
        }
    }
}

#[test]
fn w166_a_plane_cannot_write_the_other_planes_events_nor_forge_time_role_or_transaction() {
    let insert = |extra: &str, value: &str, plane: &str| {
        format!(
            "INSERT INTO audit_events (plane, type, actor_type{extra}) VALUES ('{plane}', 'x', 'system'{value})"
        )
    };
    for (role, own, others) in [
        ("opentrusty_authd", Some("auth"), ["admin", "owner"].as_slice()),
        ("opentrusty_admind", Some("admin"), &["auth", "owner"]),
        ("opentrusty_courier", None, &["auth", "admin", "owner"]),
        ("opentrusty_auditor", None, &["auth", "admin", "owner"]),
    ] {
        for plane in others {
            assert_eq!(state(role, &insert("", "", plane)), DENIED, "{role} writes {plane}");
        }
        let Some(own) = own else { continue };
        assert_eq!(state(role, &insert("", "", own)), "00000", "{role} writes its own");
        for (column, value) in [
            (", at", ", now() - interval '1 day'"),
            (", at", ", now()"),
            (", db_role", ", 'opentrusty_owner'"),
            (", db_role", ", current_user"),
            (", tx", ", pg_current_xact_id()"),
            (", id", ", 1"),
        ] {
            let forged = state(role, &insert(column, value, own));
            assert!(forged == DENIED || forged == "428C9", "{role} forges{column}: {forged}");
        }
        // What the database stamps is the truth.
        let sql = format!("{}; COMMIT", insert(", target", ", 'stamp'", own));
        bench().psql(database(), role, &sql).unwrap();
        let stamped = owner(
            "DELETE FROM audit_events WHERE target = 'stamp'
             RETURNING db_role, now() - at < interval '1 minute' AND at <= now(), tx < pg_current_xact_id()",
        );
        assert_eq!(stamped, format!("{role}|t|t"));
    }
}

#[test]
fn w166_no_daemons_role_runs_ddl_copies_files_or_becomes_another() {
    let mut statements = vec![
        "CREATE TABLE public.x (a int)".to_owned(),
        "CREATE TEMPORARY TABLE x (a int)".into(),
        "CREATE SCHEMA x".into(),
        "CREATE VIEW public.x AS SELECT 1".into(),
        "CREATE FUNCTION public.x() RETURNS int LANGUAGE sql AS 'SELECT 1'".into(),
        "CREATE OR REPLACE FUNCTION public.in_platform() RETURNS boolean LANGUAGE sql AS 'SELECT true'".into(),
        "CREATE TYPE public.x AS ENUM ('a')".into(),
        "CREATE EXTENSION dblink".into(),
        "CREATE ROLE x".into(),
        "ALTER TABLE users ADD COLUMN x int".into(),
        "ALTER TABLE users DISABLE ROW LEVEL SECURITY".into(),
        "ALTER FUNCTION sweep_expired(integer) SECURITY INVOKER".into(),
        "ALTER POLICY admind_tenant ON clients USING (true)".into(),
        "CREATE POLICY x ON clients USING (true)".into(),
        "DROP POLICY admind_tenant ON clients".into(),
        "DROP TABLE codes".into(),
        "CREATE INDEX ON users (email)".into(),
        "COMMENT ON TABLE users IS 'x'".into(),
        "COPY users TO '/tmp/x'".into(),
        "COPY users TO PROGRAM 'id'".into(),
        "COPY users FROM PROGRAM 'id'".into(),
        "COPY (SELECT 1) TO '/tmp/x'".into(),
        "SELECT pg_read_file('/etc/passwd')".into(),
        "SELECT pg_ls_dir('/')".into(),
        "SELECT lo_import('/etc/passwd')".into(),
        "SELECT pg_reload_conf()".into(),
        "SET session_replication_role = replica".into(),
        "SET log_statement = 'none'".into(),
    ];
    for other in ["pg_read_all_data", "pg_write_all_data", "pg_execute_server_program"] {
        statements.push(format!("SET ROLE {other}"));
        statements.push(format!("GRANT {other} TO CURRENT_USER"));
    }
    for other in ROLES.iter().chain(&[OWNER, "postgres"]) {
        statements.push(format!("SET ROLE {other}"));
        statements.push(format!("SET SESSION AUTHORIZATION {other}"));
        statements.push(format!("GRANT {other} TO CURRENT_USER"));
        statements.push(format!("ALTER ROLE {other} SUPERUSER"));
        statements.push(format!("ALTER ROLE {other} SET search_path = x"));
    }
    for role in ROLES {
        for (statement, state) in statements.iter().zip(attempt(role, &statements)) {
            let own = [format!("SET ROLE {role}"), format!("SET SESSION AUTHORIZATION {role}")];
            // A role may set its own defaults; daemons fix search_path at each connection (W186).
            let harmless = own.contains(statement)
                || *statement == format!("ALTER ROLE {role} SET search_path = x");
            // 0LP01: a role is no member of itself.
            let denied = state == DENIED || state == "0LP01";
            assert!(harmless || denied, "{role}: {statement}: {state}");
        }
    }
}

#[test]
fn w186_the_roles_have_no_power_of_their_own() {
    let powers = owner(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolreplication, rolcreatedb FROM pg_roles
         WHERE rolname ~ '^opentrusty_' ORDER BY rolname",
    );
    for role in ROLES {
        assert!(powers.lines().any(|line| line == format!("{role}|f|f|f|f|f")), "{powers}");
    }
    // The bench lets the owner make databases; of everything else it has none either.
    assert!(powers.contains("opentrusty_owner|f|f|f|f|"), "{powers}");
    assert_eq!(powers.lines().count(), ROLES.len() + 1, "{powers}");
    let memberships = owner(
        "SELECT roleid::regrole, member::regrole FROM pg_auth_members
         WHERE member::regrole::text ~ '^opentrusty_' OR roleid::regrole::text ~ '^opentrusty_'",
    );
    assert_eq!(memberships, "", "no role is a member of another");
    let owners = owner(
        "SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'public'::regnamespace
         UNION SELECT DISTINCT proowner::regrole FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    );
    assert_eq!(owners, OWNER);
    for privilege in ["CREATE", "TEMPORARY"] {
        let sql = format!(
            "SELECT rolname FROM pg_roles WHERE rolname ~ '^opentrusty_' AND rolname <> '{OWNER}'
             AND has_database_privilege(oid, current_database(), '{privilege}')"
        );
        assert_eq!(owner(&sql), "", "{privilege} on the database");
    }
    // A GRANT by somebody without the option is a warning, not an error: so nobody has the option.
    let options = owner(
        "SELECT c.relname, a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.relnamespace = 'public'::regnamespace AND a.is_grantable AND a.grantee <> c.relowner",
    );
    assert_eq!(options, "", "nobody hands a right on");
    let public = owner("SELECT has_schema_privilege('public', 'public', 'CREATE')");
    assert_eq!(public, "f", "nobody makes objects in public");
}

#[test]
fn w146_definer_functions_fix_their_search_path_and_are_not_for_everybody() {
    let functions = owner(
        "SELECT p.oid::regprocedure, coalesce(array_to_string(p.proconfig, ';'), ''),
                EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
         FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef ORDER BY 1",
    );
    assert!(functions.lines().count() >= 3, "{functions}");
    for line in functions.lines() {
        let [name, settings, public] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert_eq!(public, "f", "{name} is executable by everybody");
        let path = settings.split(';').find_map(|one| one.strip_prefix("search_path="));
        let path: Vec<&str> = path.unwrap_or_default().split(',').map(str::trim).collect();
        assert_eq!(path.first(), Some(&"pg_catalog"), "{name}: {settings}");
        // Unless it is named, pg_temp is searched first of all: a caller's temporary table would stand in for
        // ours, and its trigger would run as the owner.
        assert_eq!(path.last(), Some(&"pg_temp"), "{name}: {settings}");
    }
}

#[test]
fn admind_reads_no_secrets_hash_and_authd_writes_no_configuration() {
    let hashes = owner(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attname ~ '_hash$'",
    );
    assert!(hashes.lines().count() >= 8, "{hashes}");
    let ways = |line: &str| {
        let (table, column) = line.split_once('|').unwrap();
        [
            format!("SELECT {column} FROM {table}"),
            format!("SELECT * FROM {table}"),
            format!("SELECT t FROM {table} t"),
            format!("SELECT count(*) FROM {table} WHERE {column} IS NULL"),
            format!("COPY {table} TO STDOUT"),
            format!("COPY {table} ({column}) TO STDOUT"),
            format!("UPDATE {table} SET {column} = DEFAULT"),
        ]
    };
    let statements: Vec<String> = hashes.lines().flat_map(ways).collect();
    for role in ["opentrusty_admind", "opentrusty_courier", "opentrusty_auditor"] {
        for (sql, state) in statements.iter().zip(attempt(role, &statements)) {
            assert_eq!(state, DENIED, "{role}: {sql}");
        }
    }
    let relations = relations();
    for table in [
        "tenants",
        "clients",
        "client_secrets",
        "roles",
        "role_assignments",
        "memberships",
        "signing_keys",
        "issuers",
        "installation",
        "users",
        "scopes",
        "audiences",
    ] {
        let statements: Vec<String> = attempts(table, &relations[table])
            .into_iter()
            .filter(|(verb, _, _)| *verb != "SELECT")
            .map(|(_, _, sql)| sql)
            .chain([
                format!("COPY {table} FROM STDIN"),
                format!(
                    "MERGE INTO {table} t USING (SELECT 1) s ON false WHEN MATCHED THEN DELETE"
                ),
                format!("SELECT * FROM {table} FOR UPDATE"),
            ])
            .collect();
        for (sql, state) in statements.iter().zip(attempt("opentrusty_authd", &statements)) {
            assert_eq!(state, DENIED, "authd: {sql}");
        }
    }
}
