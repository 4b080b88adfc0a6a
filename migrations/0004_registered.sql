-- What a client has lost from its registration is worth nothing in tokens that it got before (W33), and nobody is taken
-- for a person who administers anything, wherever that is (W67). Housekeeping that one grant cannot hold up.

-- Whether a token's scopes are all registered for its client still.
CREATE FUNCTION still_registered(metadata jsonb, scopes text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN scopes <@ coalesce(string_to_array(metadata ->> 'scope', ' '), '{}');
REVOKE ALL ON FUNCTION still_registered(jsonb, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION still_registered(jsonb, text[]) TO opentrusty_authd;

CREATE OR REPLACE FUNCTION exchange_party(hash bytea) RETURNS jsonb LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RETURN (SELECT jsonb_build_object(
        'grant', g.id, 'ancestors', g.ancestors, 'client', c.id, 'tenant', c.tenant_id, 'user', g.user_id,
        'administers', EXISTS (SELECT FROM role_assignments r
            WHERE r.user_id = g.user_id AND r.role <> 'tenant_member'),
        'sub', g.sub, 'auth_time', floor(extract(epoch FROM g.auth_time))::bigint, 'amr', g.amr, 'session', g.session_id,
        'act', g.act, 'scopes', a.scopes, 'audiences', a.audiences, 'details', a.authorization_details,
        'expires_at', floor(extract(epoch FROM a.expires_at))::bigint)
    FROM access_tokens a JOIN live_grants g ON g.id = a.grant_id JOIN clients c ON c.id = g.client
    WHERE a.token_hash = hash AND a.revoked_at IS NULL AND a.expires_at > now()
      AND still_registered(c.metadata, a.scopes));
END $$;

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
        -- One grant may have a hundred thousand of them: never in a cascade that no batch bounds.
        ['refresh_tokens', 'token_hash', 'EXISTS (
            SELECT FROM grants g WHERE g.id = grant_id AND g.expires_at < now() - interval ''1 day'')'],
        -- A grant goes with its codes and tokens, once nothing of it can be alive.
        ['grants', 'id', 'expires_at < now() - interval ''1 day''
            AND NOT EXISTS (SELECT FROM access_tokens a WHERE a.grant_id = grants.id AND a.expires_at > now())
            AND NOT EXISTS (SELECT FROM refresh_tokens r WHERE r.grant_id = grants.id)'],
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
