//! Row-level security: what admind's role sees of tenants without saying for whom, with one tenant, and one
//! transaction after the other on one connection.
#![expect(
    clippy::unwrap_used,
    reason = "test support: a failure here is the failure of the test that asked"
)]

use std::collections::BTreeSet;
use std::sync::OnceLock;

use e2e::bench::bench;

const TEMPLATE: &str = "opentrusty_template";
const OWNER: &str = "opentrusty_owner";
const ADMIND: &str = "opentrusty_admind";
const A: &str = "00000000-0000-7000-8000-00000000000a";
const B: &str = "00000000-0000-7000-8000-00000000000b";
const ANNA: &str = "00000000-0000-7000-8000-0000000000aa";
const BERT: &str = "00000000-0000-7000-8000-0000000000bb";

/// Readable without a tenant, and why: they say where the platform is, not what a tenant does.
const OF_THE_PLATFORM: [&str; 3] = ["installation", "issuers", "signing_keys"];

/// Two tenants with one of everything each; `a` in every row's text belongs to A, `b` to B.
fn database() -> &'static str {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        bench().database("walls_rows", Some(TEMPLATE));
        let tenant = |letter: &str, tenant: &str, user: &str| {
            let id = |kind: u8| format!("00000000-0000-7000-80{kind:02}-0000000000{letter}{letter}");
            let (client, session, grant) = (id(1), id(2), id(3));
            format!(
                "INSERT INTO tenants (id, slug, name) VALUES ('{tenant}', '{letter}', '{letter}');
                 INSERT INTO users (id, email, email_key) VALUES ('{user}', '{letter}@x.example', '{letter}@x.example');
                 INSERT INTO credentials (user_id, password_hash) VALUES ('{user}', '{letter}');
                 INSERT INTO enrolments (token_hash, user_id, expires_at) VALUES (sha256('{letter}'), '{user}', now());
                 INSERT INTO memberships (tenant_id, user_id) VALUES ('{tenant}', '{user}');
                 INSERT INTO role_assignments (id, user_id, role, scope, tenant_id)
                     VALUES ('{grant}', '{user}', 'tenant_owner', 'tenant', '{tenant}');
                 INSERT INTO subjects (sub, user_id, tenant_id) VALUES ('{letter}', '{user}', '{tenant}');
                 INSERT INTO scopes (id, tenant_id, name) VALUES ('{client}', '{tenant}', '{letter}');
                 INSERT INTO audiences (id, tenant_id, identifier, name) VALUES ('{client}', '{tenant}', '{letter}', '{letter}');
                 INSERT INTO clients (id, tenant_id, client_id, metadata) VALUES ('{client}', '{tenant}', '{letter}', '{{}}');
                 INSERT INTO client_secrets (id, client, secret_hash) VALUES ('{client}', '{client}', sha256('{letter}'));
                 INSERT INTO sessions (id, secret_hash, user_id, amr, expires_at)
                     VALUES ('{session}', sha256('{letter}'), '{user}', '{{}}', now() + interval '1 day');
                 INSERT INTO interactions (handle_hash, browser_hash, client, request, expires_at)
                     VALUES (sha256('{letter}'), sha256('{letter}'), '{client}', '{{}}', now() + interval '1 day');
                 INSERT INTO consents (user_id, client, scopes) VALUES ('{user}', '{client}', '{{{letter}}}');
                 INSERT INTO grants (id, client, user_id, sub, session_id, scopes, audiences, offline, auth_time, amr, expires_at)
                     VALUES ('{grant}', '{client}', '{user}', '{letter}', '{session}', '{{}}', '{{}}', false, now(), '{{}}',
                             now() + interval '1 day');
                 INSERT INTO codes (code_hash, grant_id, redirect_uri, expires_at)
                     VALUES (sha256('{letter}'), '{grant}', '{letter}', now() + interval '1 day');
                 INSERT INTO refresh_tokens (token_hash, grant_id) VALUES (sha256('{letter}'), '{grant}');
                 INSERT INTO access_tokens (jti, token_hash, grant_id, scopes, audiences, expires_at)
                     VALUES ('{grant}', sha256('{letter}'), '{grant}', '{{}}', '{{}}', now() + interval '1 day');
                 INSERT INTO invitations (tenant_id, user_id) VALUES ('{tenant}', '{user}');
                 INSERT INTO authorization_detail_types (id, tenant_id, type, schema, summary)
                     VALUES ('{client}', '{tenant}', '{letter}', '{{}}', '{letter}');
                 INSERT INTO exchange_policies (client, subject_audience, target_audience, mode)
                     VALUES ('{client}', '{letter}', '{letter}', 'delegation');
                 INSERT INTO audit_events (plane, type, actor_type, tenant_id, target) VALUES ('owner', 'x', 'system', '{tenant}', '{letter}');"
            )
        };
        let all = format!("{}{}", tenant("a", A, ANNA), tenant("b", B, BERT));
        bench().psql("walls_rows", OWNER, &all).unwrap();
    });
    "walls_rows"
}

fn owner(sql: &str) -> String {
    bench().psql(database(), OWNER, sql).unwrap()
}

/// Every table that admind may read at all, and every view: the catalogue's word, so that a new one is seen.
fn readable() -> Vec<String> {
    let sql = "SELECT c.relname FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
           AND has_any_column_privilege('opentrusty_admind', c.oid, 'SELECT') ORDER BY 1";
    owner(sql).lines().map(str::to_owned).collect()
}

/// Whose rows lie in a table: those of tenants, or of people. Everything that leads to a tenant by foreign
/// keys, and everything about a user.
fn owned() -> BTreeSet<String> {
    let sql = "WITH RECURSIVE reach (oid) AS (
             SELECT unnest(ARRAY['tenants'::regclass, 'users'::regclass])::oid
             UNION
             SELECT k.conrelid FROM pg_constraint k JOIN reach r ON k.confrelid = r.oid WHERE k.contype = 'f'
         )
         SELECT oid::regclass FROM reach
         UNION SELECT attrelid::regclass FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             WHERE attname = 'tenant_id' AND relkind IN ('r', 'p') AND NOT relispartition";
    let mut owned: BTreeSet<String> = owner(sql).lines().map(str::to_owned).collect();
    owned.insert("live_grants".to_owned());
    assert!(owned.contains("access_tokens") && owned.contains("audit_events"), "{owned:?}");
    owned
}

/// How many rows a table shows to admind inside a transaction that begins with `setting`.
fn count(setting: &str, table: &str) -> usize {
    let sql = format!("BEGIN; {setting}; SELECT 'rows', count(*) FROM {table}; COMMIT");
    let text = bench().psql(database(), ADMIND, &sql).unwrap();
    text.lines().find_map(|line| line.strip_prefix("rows|")).unwrap().parse().unwrap()
}

fn tenant(id: &str) -> String {
    format!("SELECT set_config('opentrusty.tenant', '{id}', true)")
}

fn actor(tenant: &str, user: &str) -> String {
    format!(
        "SELECT set_config('opentrusty.tenant', '{tenant}', true), set_config('opentrusty.actor', '{user}', true)"
    )
}

#[test]
fn w146_without_the_setting_admind_sees_no_row_of_anybodys() {
    let owned = owned();
    let mut seen = Vec::new();
    for table in readable().iter().filter(|table| owned.contains(*table)) {
        if OF_THE_PLATFORM.contains(&table.as_str()) {
            continue;
        }
        assert_ne!(owner(&format!("SELECT count(*) FROM {table}")), "0", "{table} has rows");
        for setting in [
            "SELECT 1",
            "SELECT set_config('opentrusty.tenant', '', true)",
            "SELECT set_config('opentrusty.actor', '', true), set_config('opentrusty.tenant', '', true)",
        ] {
            if count(setting, table) != 0 {
                seen.push(format!("{table} after {setting}"));
            }
        }
    }
    assert!(seen.is_empty(), "rows are visible without a tenant: {seen:#?}");
}

#[test]
fn w146_with_one_tenant_admind_sees_that_tenants_rows_alone() {
    for (table, of_tenant) in [
        ("tenants", "id"),
        ("memberships", "tenant_id"),
        ("role_assignments", "tenant_id"),
        ("scopes", "tenant_id"),
        ("audiences", "tenant_id"),
        ("clients", "tenant_id"),
        ("audit_events", "tenant_id"),
    ] {
        for (own, other) in [(A, B), (B, A)] {
            assert_eq!(count(&tenant(own), table), 1, "{table}: one's own");
            let theirs = format!("{table} WHERE {of_tenant} = '{other}'");
            assert_eq!(count(&tenant(own), &theirs), 0, "{table}: another's");
        }
    }
    for (own, user) in [(A, ANNA), (B, BERT)] {
        assert_eq!(count(&tenant(own), "users"), 1);
        assert_eq!(count(&tenant(own), &format!("users WHERE id = '{user}'")), 1);
        // Sessions and grants prove the caller's own token and nothing else.
        for table in ["sessions", "grants", "access_tokens", "live_grants", "consents"] {
            assert_eq!(count(&tenant(own), table), 0, "{table} without an actor");
            assert_eq!(count(&actor(own, user), table), 1, "{table} of the actor");
        }
    }
}

#[test]
fn w146_the_platform_sees_tenants_but_nothing_inside_them() {
    assert_eq!(count(&tenant("platform"), "tenants"), 2);
    for table in [
        "memberships",
        "role_assignments",
        "scopes",
        "audiences",
        "clients",
        "users",
        "audit_events",
    ] {
        let inside = match table {
            "users" => table.to_owned(),
            _ => format!("{table} WHERE tenant_id IS NOT NULL"),
        };
        assert_eq!(count(&tenant("platform"), &inside), 0, "{table}");
    }
}

#[test]
fn w146_the_setting_ends_with_its_transaction_on_a_pooled_connection() {
    let begin = |setting: &str| format!("BEGIN; {setting}; SELECT 'rows', count(*) FROM clients");
    let bare = "BEGIN; SELECT 'rows', count(*) FROM clients; COMMIT".to_owned();
    for end in ["COMMIT", "ROLLBACK"] {
        let session = [
            format!("{}; {end}", begin(&actor(A, ANNA))),
            bare.clone(),
            format!("{}; {end}", begin(&tenant(B))),
            bare.clone(),
            "SELECT 'rows', count(*) FROM users".to_owned(),
        ]
        .join("; ");
        let text = bench().psql(database(), ADMIND, &session).unwrap();
        let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("rows|")).collect();
        assert_eq!(rows, ["1", "0", "1", "0", "0"], "after {end}");
    }
}

#[test]
fn w146_a_setting_that_is_no_tenant_shows_nothing_and_names_nothing() {
    for nonsense in ["x", "a' OR true --", "PLATFORM", "platform ", "*", "null"] {
        let setting = format!("SELECT set_config('opentrusty.tenant', $x${nonsense}$x$, true)");
        let sql = format!("BEGIN; {setting}; SELECT 'rows', count(*) FROM clients; COMMIT");
        match bench().psql(database(), ADMIND, &sql) {
            Ok(text) => assert!(text.contains("rows|0"), "{nonsense}: {text}"),
            Err(error) => assert!(error.contains("invalid input syntax for type uuid"), "{error}"),
        }
    }
}

#[test]
fn w146_row_level_security_is_forced_and_cannot_be_switched_off_for_a_query() {
    let unforced = owner(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity AND NOT relforcerowsecurity",
    );
    assert_eq!(unforced, "", "enabled and not forced");
    for table in [
        "tenants",
        "memberships",
        "role_assignments",
        "scopes",
        "audiences",
        "clients",
        "users",
        "sessions",
        "consents",
        "grants",
        "access_tokens",
        "audit_events",
    ] {
        let forced =
            format!("SELECT relforcerowsecurity FROM pg_class WHERE oid = '{table}'::regclass");
        assert_eq!(owner(&forced), "t", "{table}");
        let error = bench()
            .psql(
                database(),
                ADMIND,
                &format!("SET row_security = off; SELECT count(*) FROM {table}"),
            )
            .unwrap_err();
        assert!(error.contains("row-level security"), "{table}: {error}");
    }
    let bypassing = owner(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
         AND NOT coalesce(reloptions @> '{security_invoker=true}', false)",
    );
    assert_eq!(bypassing, "", "a view that reads with its owner's rights");
}

#[test]
fn w146_a_row_cannot_be_written_into_or_moved_to_another_tenant() {
    // No verb of these tables is granted yet; the policies must hold on the day that one is.
    for table in ["memberships", "scopes", "audiences", "clients", "role_assignments", "tenants"] {
        let sql = format!(
            "SELECT count(*) FROM pg_policy WHERE polrelid = '{table}'::regclass
             AND polroles @> ARRAY['opentrusty_admind'::regrole::oid] AND polcmd <> 'r' AND polwithcheck IS NULL"
        );
        assert_eq!(owner(&sql), "0", "{table}: a policy that lets writes go anywhere");
    }
    let plain = owner(
        "SELECT polrelid::regclass, polname FROM pg_policy WHERE polroles @> ARRAY['opentrusty_admind'::regrole::oid]
         AND (pg_get_expr(polqual, polrelid) = 'true' OR pg_get_expr(polwithcheck, polrelid) = 'true')",
    );
    assert_eq!(plain, "", "a policy of admind that is always true");
}

#[test]
fn the_keys_keep_rows_of_two_tenants_apart_whatever_writes_them() {
    // A role in a tenant needs a membership of that very tenant.
    let error = bench()
        .psql(
            database(),
            OWNER,
            &format!(
                "INSERT INTO role_assignments (id, user_id, role, scope, tenant_id)
                 VALUES (gen_random_uuid(), '{ANNA}', 'tenant_admin', 'tenant', '{B}')"
            ),
        )
        .unwrap_err();
    assert!(error.contains("violates foreign key"), "{error}");
    // A tenant's role cannot be held on the platform, nor the platform's in a tenant, nor a second owner.
    for (role, scope, tenant) in [
        ("tenant_owner", "tenant", "NULL".to_owned()),
        ("platform_admin", "platform", format!("'{A}'")),
        ("platform_admin", "tenant", format!("'{A}'")),
        ("tenant_owner", "platform", "NULL".to_owned()),
    ] {
        let sql = format!(
            "INSERT INTO role_assignments (id, user_id, role, scope, tenant_id)
             VALUES (gen_random_uuid(), '{ANNA}', '{role}', '{scope}', {tenant})"
        );
        let error = bench().psql(database(), OWNER, &sql).unwrap_err();
        assert!(error.contains("violates"), "{role} {scope}: {error}");
    }
    let second = format!(
        "INSERT INTO memberships (tenant_id, user_id) VALUES ('{A}', '{BERT}');
         INSERT INTO role_assignments (id, user_id, role, scope, tenant_id)
         VALUES (gen_random_uuid(), '{BERT}', 'tenant_owner', 'tenant', '{A}')"
    );
    let error = bench().psql(database(), OWNER, &second).unwrap_err();
    assert!(error.contains("role_assignments_one_owner"), "{error}");
}

/// Users are global: what a tenant's administrator can make admind write reaches no credential, session or link of a
/// person, though that person is a member of the tenant.
#[test]
fn an_administrator_of_one_tenant_cannot_change_how_a_member_signs_in_at_another() {
    // Anna belongs to A and B; an administrator of A acts.
    bench().database("walls_people", Some(TEMPLATE));
    let owner = |text: &str| bench().psql("walls_people", OWNER, text).unwrap();
    owner(&format!(
        "INSERT INTO tenants (id, slug, name) VALUES ('{A}', 'a', 'a'), ('{B}', 'b', 'b');
         INSERT INTO users (id, email, email_key) VALUES ('{ANNA}', 'a@x.example', 'a@x.example'),
             ('{BERT}', 'b@x.example', 'b@x.example');
         INSERT INTO credentials (user_id, password_hash) VALUES ('{ANNA}', 'a'), ('{BERT}', 'b');
         INSERT INTO memberships (tenant_id, user_id) VALUES ('{A}', '{ANNA}'), ('{B}', '{ANNA}');
         INSERT INTO invitations (tenant_id, user_id) VALUES ('{A}', '{BERT}')"
    ));
    let credentials = "SELECT md5(string_agg(x, '' ORDER BY x)) FROM (
         SELECT c::text AS x FROM credentials c UNION ALL SELECT e::text FROM enrolments e
         UNION ALL SELECT u::text FROM users u UNION ALL SELECT s::text FROM sessions s
         UNION ALL SELECT k::text FROM known_browsers k UNION ALL SELECT m::text FROM memberships m
         UNION ALL SELECT i::text FROM invitations i) all_of_it";
    let before = owner(credentials);
    for statement in [
        format!("UPDATE credentials SET password_hash = 'x' WHERE user_id = '{ANNA}'"),
        format!("INSERT INTO credentials (user_id, password_hash) VALUES ('{ANNA}', 'x')"),
        format!("DELETE FROM credentials WHERE user_id = '{ANNA}'"),
        format!("SELECT password_hash FROM credentials WHERE user_id = '{ANNA}'"),
        format!(
            "INSERT INTO enrolments (token_hash, user_id, expires_at)
             VALUES (sha256('x'), '{ANNA}', now() + interval '1 day')"
        ),
        "UPDATE enrolments SET used_at = NULL, expires_at = now() + interval '1 day'".to_owned(),
        "SELECT token_hash FROM enrolments".to_owned(),
        format!(
            "INSERT INTO outbox (id, kind, url, body) VALUES ('{A}', 'reset_mail', '', '{{}}')"
        ),
        "SELECT body FROM outbox".to_owned(),
        format!(
            "UPDATE users SET email = 'mine@x.example', email_key = 'mine@x.example' WHERE id = '{ANNA}'"
        ),
        format!("UPDATE users SET status = 'disabled' WHERE id = '{ANNA}'"),
        "UPDATE sessions SET ended_at = now()".to_owned(),
        "SELECT secret_hash FROM sessions".to_owned(),
        format!(
            "INSERT INTO known_browsers (user_id, browser_hash) VALUES ('{ANNA}', sha256('x'))"
        ),
        format!("DELETE FROM memberships WHERE tenant_id = '{B}'"),
        format!("INSERT INTO memberships (tenant_id, user_id) VALUES ('{B}', '{BERT}')"),
        // To invite is theirs to do, at home alone; to answer is the person's.
        format!("INSERT INTO invitations (tenant_id, user_id) VALUES ('{B}', '{ANNA}')"),
        format!(
            "INSERT INTO invitations (tenant_id, user_id, accepted_at) VALUES ('{A}', '{BERT}', now())"
        ),
        "UPDATE invitations SET accepted_at = now()".to_owned(),
    ] {
        let text = format!("BEGIN; {}; {statement}; COMMIT", actor(A, ANNA));
        let error = bench().psql("walls_people", ADMIND, &text).unwrap_err();
        assert!(
            error.contains("permission denied") || error.contains("row-level security"),
            "{statement}: {error}"
        );
    }
    assert_eq!(bench().psql("walls_people", ADMIND, "SELECT join_invited(100)").unwrap(), "0");
    assert_eq!(owner(credentials), before);
}

/// authd writes the answer; whoever has taken it over makes no member of somebody who said no, or nothing in time.
#[test]
fn w151_an_invitation_is_answered_once_while_it_is_open_and_revives_no_membership() {
    const CARL: &str = "00000000-0000-7000-8000-0000000000cc";
    const DORA: &str = "00000000-0000-7000-8000-0000000000dd";
    bench().database("walls_invited", Some(TEMPLATE));
    let owner = |text: &str| bench().psql("walls_invited", OWNER, text).unwrap();
    let person = |id: &str| format!("('{id}', '{id}', '{id}')");
    owner(&format!(
        "INSERT INTO tenants (id, slug, name) VALUES ('{A}', 'a', 'a');
         INSERT INTO users (id, email, email_key) VALUES {};
         INSERT INTO memberships (tenant_id, user_id, status) VALUES ('{A}', '{DORA}', 'disabled');
         INSERT INTO invitations (tenant_id, user_id, roles, declined_at, expires_at) VALUES
             ('{A}', '{ANNA}', '{{tenant_admin}}', now(), now() + interval '1 day'),
             ('{A}', '{BERT}', '{{tenant_admin}}', NULL, now() - interval '1 second'),
             ('{A}', '{CARL}', '{{tenant_admin}}', NULL, now() + interval '1 day'),
             ('{A}', '{DORA}', '{{tenant_admin}}', NULL, now() + interval '1 day')",
        [ANNA, BERT, CARL, DORA].map(person).join(", ")
    ));
    let answer = |user: &str, columns: &str| {
        let text = format!("UPDATE invitations SET {columns} WHERE user_id = '{user}'");
        bench().psql("walls_invited", "opentrusty_authd", &text)
    };
    let accepted = "accepted_at = now(), declined_at = NULL";
    for user in [ANNA, BERT] {
        let error = answer(user, accepted).unwrap_err();
        assert!(error.contains("not open"), "{error}");
    }
    for user in [CARL, DORA] {
        answer(user, accepted).unwrap();
        let error = answer(user, "accepted_at = NULL, declined_at = now()").unwrap_err();
        assert!(error.contains("not open"), "{error}");
    }
    let joined = bench().psql("walls_invited", ADMIND, "SELECT join_invited(100)").unwrap();
    assert_eq!(joined, "2");
    let members = "SELECT m.user_id, m.status, count(r.id) FROM memberships m
                   LEFT JOIN role_assignments r USING (tenant_id, user_id) GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(owner(members), format!("{CARL}|active|1\n{DORA}|disabled|0"));
    let told = "SELECT string_agg(target, ',') FROM audit_events WHERE type = 'membership.joined'";
    assert_eq!(owner(told), CARL);
}

/// (security.md, W149) Whoever has another role holds up no change of keys.
#[test]
fn the_right_to_change_keys_can_be_taken_by_adminds_role_alone() {
    for role in ["opentrusty_authd", "opentrusty_courier", "opentrusty_auditor"] {
        let text = "SELECT one FROM key_lock FOR UPDATE";
        let error = bench().psql(TEMPLATE, role, text).unwrap_err();
        assert!(error.contains("permission denied"), "{role}: {error}");
    }
}
