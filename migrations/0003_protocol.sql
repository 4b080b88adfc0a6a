-- The rest of the protocol: grants without a person, requests that are pushed or decided elsewhere, proof by
-- private key, throttles, invitations, and what the courier carries. Expands only: version 2's binaries still
-- find every table, column and verb that they know.

-- ---------------------------------------------------------------------------------------------------
-- Grants: a client may hold one of its own, and one may descend from others (RFC 8693)

ALTER TABLE grants
    ALTER COLUMN user_id DROP NOT NULL,
    ALTER COLUMN auth_time DROP NOT NULL,
    ALTER COLUMN amr SET DEFAULT '{}',
    -- A machine's `sub` is its client_id, which is no row of `subjects`; a person's is one, by the gate that
    -- writes it.
    DROP CONSTRAINT grants_sub_fkey,
    ADD COLUMN authorization_details jsonb,
    -- Names of claims that the authorization request wants inside the ID token (OIDC Core §5.5).
    ADD COLUMN id_token_claims text[] NOT NULL DEFAULT '{}',
    -- RFC 8693 §4.1, the whole chain.
    ADD COLUMN act jsonb,
    -- Grants that must be alive for this one to be: the subject's and the actor's, and theirs.
    ADD COLUMN ancestors uuid[] NOT NULL DEFAULT '{}' CHECK (cardinality(ancestors) <= 16),
    ADD CONSTRAINT grants_person CHECK ((user_id IS NULL) = (auth_time IS NULL));

ALTER TABLE access_tokens ADD COLUMN authorization_details jsonb;

-- One grant by itself; `live_grants` adds those that it descends from.
CREATE VIEW undescended_grants WITH (security_invoker = true) AS
SELECT g.* FROM grants g
    JOIN clients c ON c.id = g.client AND c.status = 'active'
WHERE g.revoked_at IS NULL
  AND g.expires_at > now()
  AND (g.user_id IS NULL OR EXISTS (SELECT FROM users u WHERE u.id = g.user_id AND u.status = 'active'))
  AND (c.tenant_id IS NULL OR EXISTS (SELECT FROM tenants t WHERE t.id = c.tenant_id AND t.status = 'active'))
  AND (c.tenant_id IS NULL OR g.user_id IS NULL OR EXISTS (
        SELECT FROM memberships m
        WHERE m.tenant_id = c.tenant_id AND m.user_id = g.user_id AND m.status = 'active'))
  AND (g.offline OR EXISTS (
        SELECT FROM sessions s WHERE s.id = g.session_id AND s.ended_at IS NULL AND s.expires_at > now()))
  AND (g.user_id IS NULL OR NOT EXISTS (
        SELECT FROM consents w WHERE w.user_id = g.user_id AND w.client = g.client AND w.withdrawn_at >= g.created_at));

CREATE OR REPLACE VIEW live_grants WITH (security_invoker = true) AS
SELECT g.* FROM undescended_grants g
WHERE cardinality(g.ancestors) = 0
   OR cardinality(g.ancestors) = (SELECT count(*) FROM undescended_grants a WHERE a.id = ANY (g.ancestors));

-- ---------------------------------------------------------------------------------------------------
-- Requests

-- RFC 9126. What was pushed has been checked; it waits for the browser that brings its `request_uri`.
CREATE TABLE pushed_requests (
    request_hash bytea PRIMARY KEY CHECK (octet_length(request_hash) = 32),
    client       uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    request      jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL CHECK (expires_at <= created_at + interval '10 minutes')
);
CREATE INDEX pushed_requests_expiry ON pushed_requests (expires_at);

-- One interaction per pushed request, so one completion: a reload in the same browser takes the interaction
-- over under a new handle (W49).
ALTER TABLE interactions ADD COLUMN pushed_hash bytea UNIQUE CHECK (octet_length(pushed_hash) = 32);

-- RFC 8628 and CIBA: the client polls with one secret, a person decides with another.
CREATE TABLE deferred_requests (
    poll_hash             bytea PRIMARY KEY CHECK (octet_length(poll_hash) = 32),
    -- device: the keyed hash of the user code; ciba: the hash of the approval handle.
    person_hash           bytea NOT NULL UNIQUE CHECK (octet_length(person_hash) = 32),
    kind                  text NOT NULL CHECK (kind IN ('device', 'ciba')),
    client                uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    -- ciba: for whom, or nobody when the hint names nobody; device: who decided.
    user_id               uuid REFERENCES users ON DELETE CASCADE,
    scopes                text[] NOT NULL,
    audiences             text[] NOT NULL,
    authorization_details jsonb,
    binding_message       text CHECK (length(binding_message) <= 128),
    -- The address that began it, shown to whoever decides.
    origin                text CHECK (length(origin) <= 64),
    -- What open requests are counted by: ciba: the person or, for nobody, the hint; device: client and network.
    quota_hash            bytea NOT NULL CHECK (octet_length(quota_hash) = 32),
    -- CIBA ping: what the client wants to hear back, and the `auth_req_id` itself, because its own endpoint must
    -- be told it. Both move to the outbox when somebody decides.
    notify_token          text CHECK (length(notify_token) <= 1024),
    ping_id               text CHECK (length(ping_id) <= 64),
    interval_s            integer NOT NULL DEFAULT 5 CHECK (interval_s BETWEEN 1 AND 600),
    polled_at             timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    expires_at            timestamptz NOT NULL CHECK (expires_at <= created_at + interval '1 hour'),
    decided_at            timestamptz,
    grant_id              uuid UNIQUE REFERENCES grants ON DELETE CASCADE,
    redeemed_at           timestamptz,
    -- Decided without a grant is declined.
    CHECK (grant_id IS NULL OR decided_at IS NOT NULL),
    CHECK (redeemed_at IS NULL OR grant_id IS NOT NULL),
    CHECK ((ping_id IS NULL) = (notify_token IS NULL)),
    CHECK (ping_id IS NULL OR decided_at IS NULL)
);
CREATE INDEX deferred_requests_expiry ON deferred_requests (expires_at);
CREATE INDEX deferred_requests_quota ON deferred_requests (quota_hash) WHERE decided_at IS NULL;
CREATE INDEX deferred_requests_user ON deferred_requests (user_id) WHERE decided_at IS NULL;

-- ---------------------------------------------------------------------------------------------------
-- Clients that prove a key; what tenants define for RFC 9396 and RFC 8693

-- RFC 7523 assertions that were used, until they have expired (W75). Keyed per client, shared by nodes.
CREATE TABLE assertions (
    client     uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    jti_hash   bytea NOT NULL CHECK (octet_length(jti_hash) = 32),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client, jti_hash)
);
CREATE INDEX assertions_expiry ON assertions (expires_at);

-- What the courier fetched from a client's `jwks_uri`. authd asks for a newer copy by `wanted_at`.
CREATE TABLE client_keys (
    client     uuid PRIMARY KEY REFERENCES clients ON DELETE CASCADE,
    uri        text NOT NULL,
    jwks       jsonb,
    fetched_at timestamptz,
    tried_at   timestamptz,
    wanted_at  timestamptz
);

CREATE TABLE authorization_detail_types (
    id        uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants,
    type      text NOT NULL CHECK (length(type) BETWEEN 1 AND 255),
    schema    jsonb NOT NULL,
    -- In words, for the consent page: {member} stands for a member's value.
    summary   text NOT NULL CHECK (length(summary) BETWEEN 1 AND 500),
    UNIQUE (tenant_id, type)
);

CREATE TABLE exchange_policies (
    client           uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    subject_audience text NOT NULL CHECK (length(subject_audience) BETWEEN 1 AND 255),
    target_audience  text NOT NULL CHECK (length(target_audience) BETWEEN 1 AND 255),
    mode             text NOT NULL CHECK (mode IN ('delegation', 'impersonation')),
    PRIMARY KEY (client, subject_audience, target_audience, mode)
);

-- A client as every endpoint of authd reads it: active, of an active tenant, with what authenticates it, and
-- the issuer that it belongs to: its tenant's own, else the platform's. A client exists nowhere else.
CREATE VIEW live_clients WITH (security_invoker = true) AS
SELECT c.id, c.tenant_id, c.client_id, c.metadata,
    coalesce((SELECT i.url FROM issuers i WHERE i.tenant_id = c.tenant_id),
             (SELECT i.url FROM issuers i WHERE i.tenant_id IS NULL)) AS issuer,
    ARRAY(SELECT s.secret_hash FROM client_secrets s WHERE s.client = c.id ORDER BY s.id) AS secret_hashes,
    ARRAY(SELECT extract(epoch FROM s.expires_at)::bigint FROM client_secrets s WHERE s.client = c.id ORDER BY s.id)
        AS secret_ends,
    (SELECT k.jwks FROM client_keys k WHERE k.client = c.id AND k.uri = c.metadata ->> 'jwks_uri'
        AND k.fetched_at > now() - interval '1 day') AS fetched_jwks
FROM clients c
WHERE c.status = 'active'
  AND (c.tenant_id IS NULL OR EXISTS (SELECT FROM tenants t WHERE t.id = c.tenant_id AND t.status = 'active'));

-- Browsers ask across origins on behalf of public clients; they are found without reading the others.
CREATE INDEX clients_public ON clients (id) WHERE metadata ->> 'token_endpoint_auth_method' = 'none';

-- ---------------------------------------------------------------------------------------------------
-- People

-- A tenant asks an existing account to join. The person answers; admind makes the membership.
CREATE TABLE invitations (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    roles       text[] NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL DEFAULT now() + interval '30 days',
    accepted_at timestamptz,
    declined_at timestamptz,
    joined_at   timestamptz,
    PRIMARY KEY (tenant_id, user_id),
    CHECK (accepted_at IS NULL OR declined_at IS NULL)
);
CREATE INDEX invitations_user ON invitations (user_id);
CREATE INDEX invitations_accepted ON invitations (accepted_at) WHERE accepted_at IS NOT NULL AND joined_at IS NULL;

-- Browsers in which somebody has signed in: they keep a budget of their own, so that nobody can be locked out
-- by a stranger's guesses (W132).
CREATE TABLE known_browsers (
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    browser_hash bytea NOT NULL CHECK (octet_length(browser_hash) = 32),
    last_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, browser_hash)
);
CREATE INDEX known_browsers_last ON known_browsers (last_at);

-- For the list on /account; neither is believed for anything.
ALTER TABLE sessions
    ADD COLUMN address    text CHECK (length(address) <= 64),
    ADD COLUMN user_agent text CHECK (length(user_agent) <= 256);

-- ---------------------------------------------------------------------------------------------------
-- Throttles, shared by nodes: attempts are taken before anything is verified, and given back on success.

CREATE TABLE throttles (
    -- A hash of door and subject: no address and no account name is kept.
    key           bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    attempts      integer NOT NULL CHECK (attempts >= 0),
    last_at       timestamptz NOT NULL DEFAULT now(),
    blocked_until timestamptz
);
CREATE INDEX throttles_last ON throttles (last_at);

-- ---------------------------------------------------------------------------------------------------
-- The courier's outbox: written in the transaction of the act that it tells of.

CREATE TABLE outbox (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('ciba_ping', 'reset_mail')),
    client     uuid REFERENCES clients ON DELETE CASCADE,
    url        text NOT NULL CHECK (length(url) <= 2000),
    -- Sent as `Authorization: Bearer`; dropped when the row is done.
    bearer     text CHECK (length(bearer) <= 1024),
    -- May hold a link in clear.
    body       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts   integer NOT NULL DEFAULT 0,
    next_at    timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz,
    failed_at  timestamptz
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE done_at IS NULL AND failed_at IS NULL;

-- What was sent, or never will be, is kept nowhere in clear, whoever says that it is over.
CREATE FUNCTION forget_message() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    NEW.body := '{}';
    NEW.bearer := NULL;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION forget_message() FROM PUBLIC;
CREATE TRIGGER forget_message BEFORE INSERT OR UPDATE ON outbox FOR EACH ROW
    WHEN (NEW.done_at IS NOT NULL OR NEW.failed_at IS NOT NULL) EXECUTE FUNCTION forget_message();

-- ---------------------------------------------------------------------------------------------------
-- Grants to roles

GRANT SELECT ON undescended_grants TO opentrusty_authd, opentrusty_admind;
GRANT SELECT ON live_clients TO opentrusty_authd;
GRANT SELECT, INSERT ON pushed_requests TO opentrusty_authd;
GRANT UPDATE (handle_hash) ON interactions TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (interval_s, polled_at, decided_at, user_id, grant_id, redeemed_at, notify_token,
        ping_id)
    ON deferred_requests TO opentrusty_authd;
GRANT SELECT, INSERT ON assertions TO opentrusty_authd;
GRANT SELECT, INSERT (client, uri, wanted_at), UPDATE (wanted_at) ON client_keys TO opentrusty_authd;
GRANT SELECT ON authorization_detail_types, exchange_policies TO opentrusty_authd;
GRANT SELECT, UPDATE (accepted_at, declined_at) ON invitations TO opentrusty_authd;
GRANT UPDATE (address, user_agent) ON sessions TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (last_at) ON known_browsers TO opentrusty_authd;
GRANT SELECT, INSERT, UPDATE (attempts, last_at, blocked_until) ON throttles TO opentrusty_authd;
GRANT INSERT ON outbox TO opentrusty_authd;
-- A person who forgot the password asks for a link, and it goes to the account's own address.
GRANT INSERT ON enrolments TO opentrusty_authd;
GRANT SELECT (tenant_id, role, user_id) ON role_assignments TO opentrusty_authd;

GRANT SELECT ON authorization_detail_types, exchange_policies TO opentrusty_admind;
GRANT SELECT, INSERT (tenant_id, user_id, roles, expires_at), UPDATE (joined_at) ON invitations TO opentrusty_admind;
GRANT INSERT (tenant_id, user_id) ON memberships TO opentrusty_admind;

-- The courier reads where to fetch and what to send, and writes what came of it. It sees no secret of ours.
GRANT SELECT (id, client_id, tenant_id, metadata, status) ON clients TO opentrusty_courier;
GRANT SELECT, INSERT, UPDATE (uri, jwks, fetched_at, tried_at) ON client_keys TO opentrusty_courier;
GRANT SELECT, UPDATE (attempts, next_at, done_at, failed_at, bearer) ON outbox TO opentrusty_courier;
DO $$
BEGIN
    IF to_regclass('public._sqlx_migrations') IS NOT NULL THEN
        GRANT SELECT (version, success) ON _sqlx_migrations TO opentrusty_courier;
    END IF;
END $$;
CREATE POLICY courier_read ON clients FOR SELECT TO opentrusty_courier USING (true);

-- ---------------------------------------------------------------------------------------------------
-- Row-level security for what tenants own

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['authorization_detail_types', 'exchange_policies', 'invitations'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY owner_all ON %I TO opentrusty_owner USING (true) WITH CHECK (true)', t);
        EXECUTE format('CREATE POLICY authd_all ON %I TO opentrusty_authd USING (true) WITH CHECK (true)', t);
    END LOOP;
END $$;
CREATE POLICY admind_tenant ON authorization_detail_types TO opentrusty_admind
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY admind_tenant ON invitations TO opentrusty_admind
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY admind_tenant ON exchange_policies TO opentrusty_admind
    USING (EXISTS (SELECT FROM clients c WHERE c.id = exchange_policies.client))
    WITH CHECK (EXISTS (SELECT FROM clients c WHERE c.id = exchange_policies.client));
CREATE POLICY authd_read ON role_assignments FOR SELECT TO opentrusty_authd USING (true);

-- admind's housekeeping has no tenant: a definer function turns accepted invitations into memberships, each
-- with its audit row. Returns how many.
CREATE FUNCTION join_invited(batch integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    joined bigint := 0;
    i record;
BEGIN
    FOR i IN SELECT tenant_id, user_id, roles FROM invitations
             WHERE accepted_at IS NOT NULL AND joined_at IS NULL
             LIMIT least(greatest(batch, 1), 1000) FOR UPDATE SKIP LOCKED LOOP
        INSERT INTO memberships (tenant_id, user_id) VALUES (i.tenant_id, i.user_id)
            ON CONFLICT (tenant_id, user_id) DO UPDATE SET status = 'active';
        INSERT INTO role_assignments (id, user_id, role, scope, tenant_id)
            SELECT gen_random_uuid(), i.user_id, r.name, r.scope, i.tenant_id FROM roles r
            WHERE r.name = ANY (i.roles) AND r.scope = 'tenant' AND r.name <> 'tenant_owner'
            ON CONFLICT DO NOTHING;
        UPDATE invitations SET joined_at = now() WHERE tenant_id = i.tenant_id AND user_id = i.user_id;
        INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, data)
            VALUES ('admin', 'membership.joined', 'user', i.user_id::text, i.tenant_id, 'user', i.user_id::text,
                    jsonb_build_object('roles', i.roles));
        joined := joined + 1;
    END LOOP;
    RETURN joined;
END $$;
REVOKE ALL ON FUNCTION join_invited(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION join_invited(integer) TO opentrusty_admind;

-- A live access token as token exchange sees it (RFC 8693): one JSON object, because it is asked for twice in
-- one query; NULL when no live token has this hash. `roles` beyond membership make a person an administrator.
CREATE FUNCTION exchange_party(hash bytea) RETURNS jsonb LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- plpgsql keeps its plan; a function in SQL that cannot be inlined is planned anew at each call.
    RETURN (SELECT jsonb_build_object(
        'grant', g.id, 'ancestors', g.ancestors, 'client', c.id, 'tenant', c.tenant_id, 'user', g.user_id,
        'administers', EXISTS (SELECT FROM role_assignments r
            WHERE r.user_id = g.user_id AND r.role <> 'tenant_member'
              AND (r.tenant_id IS NULL OR r.tenant_id = c.tenant_id)),
        'sub', g.sub, 'auth_time', floor(extract(epoch FROM g.auth_time))::bigint, 'amr', g.amr, 'session', g.session_id,
        'act', g.act, 'scopes', a.scopes, 'audiences', a.audiences, 'details', a.authorization_details,
        'expires_at', floor(extract(epoch FROM a.expires_at))::bigint)
    FROM access_tokens a JOIN live_grants g ON g.id = a.grant_id JOIN clients c ON c.id = g.client
    WHERE a.token_hash = hash AND a.revoked_at IS NULL AND a.expires_at > now());
END $$;
REVOKE ALL ON FUNCTION exchange_party(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exchange_party(bytea) TO opentrusty_authd;

-- ---------------------------------------------------------------------------------------------------
-- Housekeeping of the new tables

CREATE OR REPLACE FUNCTION sweep_expired(batch integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    removed bigint := 0;
    n bigint;
    job text[];
BEGIN
    IF batch NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'batch must lie between 1 and 100000';
    END IF;
    -- Table, key, which rows. Order matters: children before parents. What can be replayed is kept a day past
    -- its end, so that a replay within that day is still seen as one, and audited; what strangers can make in
    -- any number goes at once (W136).
    FOREACH job SLICE 1 IN ARRAY ARRAY[
        ['interactions', 'handle_hash', 'expires_at < now() AND completed_at IS NULL'],
        ['interactions', 'handle_hash', 'expires_at < now() - interval ''1 day'''],
        ['pushed_requests', 'request_hash', 'expires_at < now() - interval ''1 hour'''],
        ['deferred_requests', 'poll_hash', 'expires_at < now() - interval ''1 day'''],
        ['access_tokens', 'jti', 'expires_at < now() - interval ''1 day'''],
        -- A grant goes with its codes and tokens, once nothing of it can be alive.
        ['grants', 'id', 'expires_at < now() - interval ''1 day'' AND NOT EXISTS (
            SELECT FROM access_tokens a WHERE a.grant_id = grants.id AND a.expires_at > now())'],
        ['sessions', 'id', 'expires_at < now() - interval ''1 day'''],
        ['enrolments', 'token_hash', 'expires_at < now() - interval ''30 days'''],
        ['throttles', 'key', 'last_at < now() - interval ''1 day'' AND (blocked_until IS NULL OR blocked_until < now())'],
        ['outbox', 'id', 'coalesce(done_at, failed_at) < now() - interval ''7 days''']
    ] LOOP
        EXECUTE format('DELETE FROM %1$I WHERE %2$I IN (SELECT %2$I FROM %1$I WHERE %3$s LIMIT %4$s FOR UPDATE SKIP LOCKED)',
            job[1], job[2], job[3], batch);
        GET DIAGNOSTICS n = ROW_COUNT;
        removed := removed + n;
    END LOOP;
    -- Where no courier runs, a message does not wait for ever.
    UPDATE outbox SET failed_at = now() WHERE id IN (
        SELECT id FROM outbox WHERE done_at IS NULL AND failed_at IS NULL AND created_at < now() - interval '1 hour'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
    -- Tables whose key is more than one column.
    DELETE FROM assertions WHERE ctid IN (
        SELECT ctid FROM assertions WHERE expires_at < now() - interval '2 minutes' LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
    DELETE FROM known_browsers WHERE ctid IN (
        SELECT ctid FROM known_browsers WHERE last_at < now() - interval '90 days' LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
    RETURN removed;
END $$;
