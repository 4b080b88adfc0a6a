-- The tables of OpenTrusty. Applied by `opentrusty migrate` as opentrusty_owner, in one transaction.
-- Names that checks elsewhere rely on: tables tenants, clients, roles, role_assignments, memberships,
-- audit_*; columns *_hash hold stored secrets and nothing else.

-- ---------------------------------------------------------------------------------------------------
-- Issuers, tenants, people

CREATE TABLE tenants (
    id         uuid PRIMARY KEY,
    slug       text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    status     text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The platform's issuer is the row without a tenant. Its URL is fixed by the first row ever written:
-- no role but the owner may change it.
CREATE TABLE issuers (
    id         uuid PRIMARY KEY,
    tenant_id  uuid UNIQUE NULLS NOT DISTINCT REFERENCES tenants,
    url        text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Exists once `opentrusty bootstrap` has made the first platform administrator.
CREATE TABLE installation (
    singleton       boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    issuer_id       uuid NOT NULL REFERENCES issuers,
    bootstrapped_at timestamptz NOT NULL DEFAULT now()
);

-- People are global and belong to tenants by membership. `email_key` is the one canonical spelling that
-- every look-up and every counter uses.
CREATE TABLE users (
    id             uuid PRIMARY KEY,
    email          text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    email_key      text NOT NULL UNIQUE,
    email_verified boolean NOT NULL DEFAULT false,
    name           text CHECK (length(name) <= 200),
    given_name     text CHECK (length(given_name) <= 200),
    family_name    text CHECK (length(family_name) <= 200),
    picture        text CHECK (length(picture) <= 2000),
    locale         text CHECK (length(locale) <= 35),
    status         text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- Apart from users so that no grant on users can ever reach a password.
CREATE TABLE credentials (
    user_id       uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    password_hash text NOT NULL,
    changed_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE enrolments (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX enrolments_user ON enrolments (user_id);

CREATE TABLE memberships (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    status     text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE roles (
    name        text PRIMARY KEY,
    scope       text NOT NULL CHECK (scope IN ('platform', 'tenant')),
    permissions text[] NOT NULL,
    UNIQUE (name, scope)
);

INSERT INTO roles (name, scope, permissions) VALUES
    ('platform_admin', 'platform', ARRAY['platform:manage_tenants', 'platform:manage_admins',
        'platform:manage_keys', 'platform:manage_settings', 'platform:view_audit', 'console:sign_in']),
    ('tenant_owner', 'tenant', ARRAY['tenant:manage_users', 'tenant:manage_clients', 'tenant:manage_settings',
        'tenant:manage_owner', 'tenant:view', 'tenant:view_users', 'tenant:view_audit', 'console:sign_in']),
    ('tenant_admin', 'tenant', ARRAY['tenant:manage_users', 'tenant:manage_clients', 'tenant:view',
        'tenant:view_users', 'tenant:view_audit', 'console:sign_in']),
    ('tenant_member', 'tenant', ARRAY[]::text[]);

CREATE TABLE role_assignments (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role       text NOT NULL,
    scope      text NOT NULL,
    tenant_id  uuid REFERENCES tenants,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (user_id, role, tenant_id),
    FOREIGN KEY (role, scope) REFERENCES roles (name, scope),
    -- Authority in a tenant needs membership and assignment; platform roles need no membership.
    FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE,
    CHECK ((scope = 'platform') = (tenant_id IS NULL))
);
-- Exactly one owner per tenant, whatever races.
CREATE UNIQUE INDEX role_assignments_one_owner ON role_assignments (tenant_id) WHERE role = 'tenant_owner';

-- `sub`: random, one per (user, tenant or platform), never reused, never derived.
CREATE TABLE subjects (
    sub        text PRIMARY KEY,
    user_id    uuid NOT NULL,
    tenant_id  uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (user_id, tenant_id)
);

-- ---------------------------------------------------------------------------------------------------
-- What may be asked for, and by whom

CREATE TABLE scopes (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 500),
    is_default  boolean NOT NULL DEFAULT false,
    UNIQUE (tenant_id, name)
);

CREATE TABLE audiences (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    identifier text NOT NULL CHECK (length(identifier) BETWEEN 1 AND 255),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    scopes     text[] NOT NULL DEFAULT '{}',
    UNIQUE (tenant_id, identifier)
);

-- A client belongs to one tenant, or to the platform (tenant_id NULL: console, CLI). `metadata` is read
-- back through the same type that wrote it (oauth::client::Metadata).
CREATE TABLE clients (
    id         uuid PRIMARY KEY,
    tenant_id  uuid REFERENCES tenants,
    client_id  text NOT NULL UNIQUE CHECK (length(client_id) BETWEEN 1 AND 128),
    metadata   jsonb NOT NULL,
    status     text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX clients_tenant ON clients (tenant_id);

-- Two live secrets side by side, so that one can be replaced without an outage.
CREATE TABLE client_secrets (
    id          uuid PRIMARY KEY,
    client      uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz
);
CREATE INDEX client_secrets_client ON client_secrets (client);

-- ---------------------------------------------------------------------------------------------------
-- Sessions and sign-in under way

CREATE TABLE sessions (
    id           uuid PRIMARY KEY,
    secret_hash  bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    amr          text[] NOT NULL,
    auth_time    timestamptz NOT NULL DEFAULT now(),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL CHECK (expires_at <= created_at + interval '31 days'),
    ended_at     timestamptz
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE interactions (
    handle_hash      bytea PRIMARY KEY CHECK (octet_length(handle_hash) = 32),
    browser_hash     bytea NOT NULL CHECK (octet_length(browser_hash) = 32),
    client           uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    request          jsonb NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL,
    authenticated_at timestamptz,
    consented_by     uuid,
    completed_at     timestamptz
);
CREATE INDEX interactions_expiry ON interactions (expires_at);

CREATE TABLE consents (
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    client       uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    scopes       text[] NOT NULL,
    granted_at   timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz,
    PRIMARY KEY (user_id, client)
);

-- ---------------------------------------------------------------------------------------------------
-- Grants and what was issued from them. Killing a grant kills everything below it at once: every look-up
-- joins it.

CREATE TABLE grants (
    id            uuid PRIMARY KEY,
    client        uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    sub           text NOT NULL REFERENCES subjects,
    session_id    uuid REFERENCES sessions ON DELETE SET NULL,
    scopes        text[] NOT NULL,
    audiences     text[] NOT NULL,
    offline       boolean NOT NULL,
    nonce         text,
    auth_time     timestamptz NOT NULL,
    amr           text[] NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL CHECK (expires_at <= created_at + interval '366 days'),
    revoked_at    timestamptz,
    revoke_reason text
);
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_client ON grants (client);
CREATE INDEX grants_session ON grants (session_id);
CREATE INDEX grants_expiry ON grants (expires_at);

CREATE TABLE codes (
    code_hash      bytea PRIMARY KEY CHECK (octet_length(code_hash) = 32),
    grant_id       uuid NOT NULL UNIQUE REFERENCES grants ON DELETE CASCADE,
    redirect_uri   text NOT NULL,
    code_challenge text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL,
    redeemed_at    timestamptz,
    burned_at      timestamptz
);

CREATE TABLE refresh_tokens (
    token_hash     bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    grant_id       uuid NOT NULL REFERENCES grants ON DELETE CASCADE,
    created_at     timestamptz NOT NULL DEFAULT now(),
    rotated_at     timestamptz,
    successor_hash bytea CHECK (octet_length(successor_hash) = 32)
);
-- At most one live refresh token per grant (I4), held by the database itself.
CREATE UNIQUE INDEX refresh_tokens_one_live ON refresh_tokens (grant_id) WHERE rotated_at IS NULL;
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);

CREATE TABLE access_tokens (
    jti          uuid PRIMARY KEY,
    token_hash   bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    grant_id     uuid NOT NULL REFERENCES grants ON DELETE CASCADE,
    refresh_hash bytea CHECK (octet_length(refresh_hash) = 32),
    scopes       text[] NOT NULL,
    audiences    text[] NOT NULL,
    issued_at    timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL CHECK (expires_at <= issued_at + interval '1 day'),
    revoked_at   timestamptz
);
CREATE INDEX access_tokens_grant ON access_tokens (grant_id);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);

-- The one definition of a grant that is alive. Every gate and every look-up goes through it, so that a
-- state that kills one path kills all of them at once: revoked, expired, user, client or tenant no longer
-- active, membership gone, session over (unless offline), consent withdrawn.
CREATE VIEW live_grants WITH (security_invoker = true) AS
SELECT g.* FROM grants g
    JOIN users u ON u.id = g.user_id AND u.status = 'active'
    JOIN clients c ON c.id = g.client AND c.status = 'active'
WHERE g.revoked_at IS NULL
  AND g.expires_at > now()
  AND (c.tenant_id IS NULL OR EXISTS (
        SELECT FROM tenants t JOIN memberships m ON m.tenant_id = t.id
        WHERE t.id = c.tenant_id AND t.status = 'active' AND m.user_id = g.user_id AND m.status = 'active'))
  AND (g.offline OR EXISTS (
        SELECT FROM sessions s WHERE s.id = g.session_id AND s.ended_at IS NULL AND s.expires_at > now()))
  AND NOT EXISTS (
        SELECT FROM consents w WHERE w.user_id = g.user_id AND w.client = g.client AND w.withdrawn_at >= g.created_at);

-- ---------------------------------------------------------------------------------------------------
-- Signing keys: what keyd said about them. A row is nothing without keyd's MAC inside `statement`.

CREATE TABLE signing_keys (
    kid          text PRIMARY KEY CHECK (kid ~ '^[A-Za-z0-9_-]{22}$'),
    issuer_id    uuid NOT NULL REFERENCES issuers,
    class        text NOT NULL CHECK (class IN ('token', 'admin', 'audit')),
    algorithm    text NOT NULL,
    state        text NOT NULL CHECK (state IN ('staged', 'active', 'retired', 'destroyed')),
    statement    bytea NOT NULL CHECK (octet_length(statement) BETWEEN 33 AND 4096),
    created_at   timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    retired_at   timestamptz,
    destroyed_at timestamptz
);
-- Never two that sign for one issuer, class and algorithm (I13).
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (issuer_id, class, algorithm) WHERE state = 'active';

-- ---------------------------------------------------------------------------------------------------
-- Audit: append-only, partitioned by month. The database stamps time, role and transaction.

CREATE TABLE audit_events (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL DEFAULT now(),
    tx          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    db_role     name NOT NULL DEFAULT current_user,
    plane       text NOT NULL CHECK (plane IN ('auth', 'admin', 'owner')),
    type        text NOT NULL,
    actor_type  text NOT NULL CHECK (actor_type IN ('user', 'client', 'system')),
    actor       text,
    tenant_id   uuid,
    target_type text,
    target      text,
    request_id  text,
    data        jsonb NOT NULL DEFAULT '{}'
) PARTITION BY RANGE (at);
CREATE INDEX audit_events_at ON audit_events (at, id);
CREATE INDEX audit_events_tenant ON audit_events (tenant_id, at);
CREATE INDEX audit_events_actor ON audit_events (actor, at);

-- Nothing ever stops for want of a partition.
CREATE TABLE audit_events_default PARTITION OF audit_events DEFAULT;

-- Makes the partitions of this month and the next `months`. A definer function so that admind can call it
-- without DDL rights; idempotent; skips a month whose rows already sit in the DEFAULT partition.
CREATE FUNCTION audit_partitions_ahead(months integer) RETURNS integer
    -- pg_temp last and by name: otherwise it is searched first, and a caller's temporary table stands in for ours.
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    start date;
    made integer := 0;
BEGIN
    IF months NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months must lie between 0 and 24';
    END IF;
    -- One maker at a time: concurrent CREATE TABLE of one name would fail one of them.
    PERFORM pg_advisory_xact_lock(hashtext('opentrusty audit partitions'));
    FOR i IN 0 .. months LOOP
        start := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i);
        CONTINUE WHEN to_regclass(format('public.audit_events_%s', to_char(start, 'YYYYMM'))) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT FROM audit_events_default
            WHERE at >= start::timestamp AT TIME ZONE 'UTC'
              AND at < (start + interval '1 month') AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE public.audit_events_%s PARTITION OF public.audit_events FOR VALUES FROM (%L) TO (%L)',
            to_char(start, 'YYYYMM'),
            start::timestamp AT TIME ZONE 'UTC', (start + interval '1 month')::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION audit_partitions_ahead(integer) FROM PUBLIC;

SELECT audit_partitions_ahead(12);
