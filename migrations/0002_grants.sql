-- Who may do what: per table, per verb and, where it matters, per column. Grants are schema; the roles
-- themselves are made once per cluster by whoever installs it. e2e/tests/walls_roles.rs tries every verb on
-- every table as every role against a checked-in matrix.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- Above all TEMPORARY: nobody here needs a table of their own.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO opentrusty_authd, opentrusty_admind, opentrusty_courier,
        opentrusty_auditor', current_database());
END $$;
GRANT USAGE ON SCHEMA public TO opentrusty_authd, opentrusty_admind, opentrusty_courier, opentrusty_auditor;

DO $$
BEGIN
    IF to_regclass('public._sqlx_migrations') IS NOT NULL THEN
        GRANT SELECT (version, success) ON _sqlx_migrations TO opentrusty_authd, opentrusty_admind;
    END IF;
END $$;

-- ---------------------------------------------------------------------------------------------------
-- authd: reads configuration, writes sign-in and issuance. It cannot write tenants, clients, roles,
-- memberships or keys.

GRANT SELECT ON issuers, installation, tenants, memberships, scopes, audiences, clients, signing_keys
    TO opentrusty_authd;
GRANT SELECT ON users, client_secrets TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (password_hash, changed_at) ON credentials TO opentrusty_authd;
GRANT SELECT, UPDATE (used_at) ON enrolments TO opentrusty_authd;
GRANT SELECT, INSERT ON subjects TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (secret_hash, amr, auth_time, last_seen_at, expires_at, ended_at) ON sessions
    TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (authenticated_at, consented_by, completed_at) ON interactions TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (scopes, granted_at, withdrawn_at) ON consents TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (revoked_at, revoke_reason) ON grants TO opentrusty_authd;
GRANT SELECT ON live_grants TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (redeemed_at, burned_at) ON codes TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (rotated_at, successor_hash) ON refresh_tokens TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (revoked_at) ON access_tokens TO opentrusty_authd;

-- ---------------------------------------------------------------------------------------------------
-- admind: configuration and key life cycle. It cannot read a password hash, a session hash or a code hash.

GRANT SELECT ON issuers, installation, tenants, roles, role_assignments, memberships, scopes, audiences,
    clients, users TO opentrusty_admind;
GRANT INSERT ON issuers TO opentrusty_admind;
GRANT SELECT, INSERT, UPDATE (state, statement, activated_at, retired_at, destroyed_at) ON signing_keys
    TO opentrusty_admind;
GRANT SELECT (id, user_id, amr, auth_time, created_at, last_seen_at, expires_at, ended_at) ON sessions
    TO opentrusty_admind;
GRANT SELECT ON grants, live_grants, consents TO opentrusty_admind;
GRANT SELECT (jti, grant_id, scopes, audiences, issued_at, expires_at, revoked_at) ON access_tokens TO opentrusty_admind;
GRANT EXECUTE ON FUNCTION audit_partitions_ahead(integer) TO opentrusty_admind;

-- Housekeeping: expired rows are deleted in bounded batches by a definer function, so that no role needs
-- DELETE on anything. Order matters: children before parents. Returns the number of rows removed.
CREATE FUNCTION sweep_expired(batch integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    removed bigint := 0;
    n bigint;
BEGIN
    IF batch NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'batch must lie between 1 and 100000';
    END IF;
    -- Kept a day past their end: a replay within that day is still seen as one, and audited.
    DELETE FROM interactions WHERE handle_hash IN (
        SELECT handle_hash FROM interactions WHERE expires_at < now() - interval '1 day'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
    DELETE FROM access_tokens WHERE jti IN (
        SELECT jti FROM access_tokens WHERE expires_at < now() - interval '1 day'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
    -- A grant goes with its codes and tokens, once nothing of it can be alive.
    DELETE FROM grants WHERE id IN (
        SELECT id FROM grants g WHERE expires_at < now() - interval '1 day'
          AND NOT EXISTS (SELECT FROM access_tokens a WHERE a.grant_id = g.id AND a.expires_at > now())
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
    DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions WHERE expires_at < now() - interval '1 day'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
    DELETE FROM enrolments WHERE token_hash IN (
        SELECT token_hash FROM enrolments WHERE expires_at < now() - interval '30 days'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
    RETURN removed;
END $$;
REVOKE ALL ON FUNCTION sweep_expired(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sweep_expired(integer) TO opentrusty_admind;

-- ---------------------------------------------------------------------------------------------------
-- Row-level security for admind, forced (the owner has its own policy): without a setting, no rows.
-- `opentrusty.tenant` is a tenant's id, or 'platform' for rows that belong to no tenant; `opentrusty.actor`
-- is the authenticated caller, who may always see their own assignments.

CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog AS $$
    SELECT CASE current_setting('opentrusty.tenant', true)
        WHEN 'platform' THEN NULL ELSE nullif(current_setting('opentrusty.tenant', true), '')::uuid END
$$;
CREATE FUNCTION in_platform() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog AS $$
    SELECT coalesce(current_setting('opentrusty.tenant', true) = 'platform', false)
$$;
CREATE FUNCTION current_actor() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog AS $$
    SELECT nullif(current_setting('opentrusty.actor', true), '')::uuid
$$;

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['tenants', 'memberships', 'role_assignments', 'scopes', 'audiences', 'clients',
        'users', 'sessions', 'consents', 'grants', 'access_tokens', 'audit_events'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY owner_all ON %I TO opentrusty_owner USING (true) WITH CHECK (true)', t);
        -- authd looks artefacts up by 256-bit secrets before a tenant is known: verbs, columns and foreign
        -- keys hold it instead.
        IF t <> 'audit_events' THEN
            EXECUTE format('CREATE POLICY authd_all ON %I TO opentrusty_authd USING (true) WITH CHECK (true)', t);
        END IF;
    END LOOP;

    FOREACH t IN ARRAY ARRAY['memberships', 'scopes', 'audiences'] LOOP
        EXECUTE format('CREATE POLICY admind_tenant ON %I TO opentrusty_admind
            USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
    END LOOP;
END $$;

CREATE POLICY admind_tenant ON tenants TO opentrusty_admind
    USING (in_platform() OR id = current_tenant()) WITH CHECK (in_platform() OR id = current_tenant());
CREATE POLICY admind_tenant ON clients TO opentrusty_admind
    USING (tenant_id = current_tenant() OR (in_platform() AND tenant_id IS NULL))
    WITH CHECK (tenant_id = current_tenant());
CREATE POLICY admind_tenant ON role_assignments TO opentrusty_admind
    USING (tenant_id = current_tenant() OR (in_platform() AND tenant_id IS NULL) OR user_id = current_actor())
    WITH CHECK (tenant_id = current_tenant() OR (in_platform() AND tenant_id IS NULL));
CREATE POLICY admind_tenant ON users FOR SELECT TO opentrusty_admind
    USING (id = current_actor()
        OR EXISTS (SELECT FROM memberships m WHERE m.user_id = users.id AND m.tenant_id = current_tenant()));

-- What proves a caller's token alive: only the caller's own rows.
CREATE POLICY admind_actor ON sessions FOR SELECT TO opentrusty_admind USING (user_id = current_actor());
CREATE POLICY admind_actor ON consents FOR SELECT TO opentrusty_admind USING (user_id = current_actor());
CREATE POLICY admind_actor ON memberships FOR SELECT TO opentrusty_admind USING (user_id = current_actor());
CREATE POLICY admind_actor ON grants FOR SELECT TO opentrusty_admind USING (user_id = current_actor());
CREATE POLICY admind_actor ON access_tokens FOR SELECT TO opentrusty_admind
    USING (EXISTS (SELECT FROM grants g WHERE g.id = access_tokens.grant_id AND g.user_id = current_actor()));

-- A token names its subject by `sub`; the caller's user id is looked up before anything else is visible.
CREATE FUNCTION user_of_subject(wanted text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT user_id FROM subjects WHERE sub = wanted AND tenant_id IS NULL
$$;
REVOKE ALL ON FUNCTION user_of_subject(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION user_of_subject(text) TO opentrusty_admind;

-- ---------------------------------------------------------------------------------------------------
-- Audit: each plane inserts its own events and nobody but the owner changes one.

GRANT INSERT (plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data)
    ON audit_events TO opentrusty_authd, opentrusty_admind;
GRANT SELECT ON audit_events TO opentrusty_admind, opentrusty_auditor;
CREATE POLICY authd_insert ON audit_events FOR INSERT TO opentrusty_authd WITH CHECK (plane = 'auth');
CREATE POLICY admind_insert ON audit_events FOR INSERT TO opentrusty_admind WITH CHECK (plane = 'admin');
CREATE POLICY admind_read ON audit_events FOR SELECT TO opentrusty_admind
    USING (tenant_id = current_tenant() OR (in_platform() AND tenant_id IS NULL));
CREATE POLICY auditor_read ON audit_events FOR SELECT TO opentrusty_auditor USING (true);
