//! The database by itself, after a crash, of an installation that only a [`crate::crowd::Crowd`] has used.

/// I3, I4, I7, I9, I12, I13: what must not be there, and how to count it. Each gives 0, before anything is asked
/// again.
pub const WHOLE: [(&str, &str); 40] = [
    (
        "a code was redeemed and nothing was issued",
        "SELECT count(*) FROM codes c WHERE redeemed_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM access_tokens a WHERE a.grant_id = c.grant_id)",
    ),
    (
        "something was issued and no code was redeemed",
        "SELECT count(*) FROM access_tokens a WHERE NOT EXISTS
          (SELECT FROM codes c WHERE c.grant_id = a.grant_id AND c.redeemed_at IS NOT NULL)",
    ),
    (
        "a grant without a code",
        "SELECT count(*) FROM grants g WHERE NOT EXISTS (SELECT FROM codes c WHERE c.grant_id = g.id)",
    ),
    (
        "an interaction gave a code and is not over",
        "SELECT count(*) FROM codes c WHERE (SELECT count(*) FROM interactions WHERE completed_at IS NOT NULL)
          < (SELECT count(*) FROM codes)",
    ),
    (
        "a grant has two families",
        "SELECT count(*) FROM (SELECT grant_id FROM refresh_tokens WHERE rotated_at IS NULL
          GROUP BY grant_id HAVING count(*) > 1) twice",
    ),
    (
        "a refresh token was rotated without a successor",
        "SELECT count(*) FROM refresh_tokens r WHERE rotated_at IS NOT NULL AND NOT EXISTS
          (SELECT FROM refresh_tokens s WHERE s.token_hash = r.successor_hash)",
    ),
    (
        "a grant has more access tokens than refresh tokens",
        "SELECT count(*) FROM (SELECT g.id, (SELECT count(*) FROM access_tokens a WHERE a.grant_id = g.id) AS a,
          (SELECT count(*) FROM refresh_tokens r WHERE r.grant_id = g.id) AS r FROM grants g) n WHERE a <> r",
    ),
    (
        "codes and their audit rows are not as many",
        "SELECT abs((SELECT count(*) FROM codes) - (SELECT count(*) FROM audit_events WHERE type = 'code.issued'))",
    ),
    (
        "redemptions and their audit rows are not as many",
        "SELECT abs((SELECT count(*) FROM codes WHERE redeemed_at IS NOT NULL)
          - (SELECT count(*) FROM audit_events WHERE type = 'tokens.issued'))",
    ),
    (
        "refreshes and their audit rows are not as many",
        "SELECT abs((SELECT count(*) FROM refresh_tokens WHERE rotated_at IS NOT NULL)
          - (SELECT count(*) FROM audit_events WHERE type = 'tokens.refreshed'))",
    ),
    (
        "sessions and their audit rows are not as many",
        "SELECT abs((SELECT count(*) FROM sessions)
          - (SELECT count(*) FROM audit_events WHERE type = 'user.signed_in'))",
    ),
    (
        "a session of nobody",
        "SELECT count(*) FROM sessions s WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = s.user_id)",
    ),
    (
        "an issuer has two active keys of one kind",
        "SELECT count(*) FROM (SELECT issuer_id, class, algorithm FROM signing_keys WHERE state = 'active'
          GROUP BY issuer_id, class, algorithm HAVING count(*) > 1) twice",
    ),
    (
        "an issuer has no active key of a kind that it had",
        "SELECT count(*) FROM (SELECT issuer_id, class, algorithm FROM signing_keys
          GROUP BY issuer_id, class, algorithm HAVING count(*) FILTER (WHERE state = 'active') = 0) none",
    ),
    (
        "keys and their audit rows are not as many",
        "SELECT abs((SELECT count(*) FROM signing_keys)
          - (SELECT count(*) FROM audit_events WHERE type = 'key.staged'))",
    ),
    (
        "activations of keys and their audit rows are not as many",
        "SELECT abs((SELECT count(*) FROM signing_keys WHERE activated_at IS NOT NULL)
          - (SELECT count(*) FROM audit_events WHERE type = 'key.activated'))",
    ),
    (
        "a kind of key has two successors",
        "SELECT count(*) FROM (SELECT issuer_id, class, algorithm FROM signing_keys WHERE state = 'staged'
          GROUP BY issuer_id, class, algorithm HAVING count(*) > 1) twice",
    ),
    (
        "a key's state and its times do not go together",
        // One that was given up while it was staged has never been active.
        "SELECT count(*) FROM signing_keys WHERE (state = 'staged' AND activated_at IS NOT NULL)
          OR (state = 'active' AND activated_at IS NULL)
          OR (state IN ('retired', 'destroyed')) <> (retired_at IS NOT NULL)",
    ),
    // A row remembers the transaction that wrote it last, an audit row its own.
    (
        "a key was changed in a transaction without an audit row",
        "SELECT count(*) FROM signing_keys k WHERE NOT EXISTS (SELECT FROM audit_events a
          WHERE a.type LIKE 'key.%' AND a.target = k.kid AND a.tx::text::bigint % 4294967296 = k.xmin::text::bigint)",
    ),
    (
        "a code was redeemed in a transaction without an audit row",
        "SELECT count(*) FROM codes c WHERE redeemed_at IS NOT NULL AND NOT EXISTS (SELECT FROM audit_events a
          WHERE a.type = 'tokens.issued' AND a.tx::text::bigint % 4294967296 = c.xmin::text::bigint)",
    ),
    (
        "a refresh token was rotated in a transaction without an audit row",
        "SELECT count(*) FROM refresh_tokens r WHERE rotated_at IS NOT NULL AND NOT EXISTS (SELECT FROM audit_events a
          WHERE a.type = 'tokens.refreshed' AND a.tx::text::bigint % 4294967296 = r.xmin::text::bigint)",
    ),
    (
        "a grant was revoked in a transaction without an audit row",
        "SELECT count(*) FROM grants g WHERE revoked_at IS NOT NULL AND NOT EXISTS (SELECT FROM audit_events a
          WHERE a.tx::text::bigint % 4294967296 = g.xmin::text::bigint)",
    ),
    (
        "a grant was revoked without a reason",
        "SELECT count(*) FROM grants WHERE (revoked_at IS NULL) <> (revoke_reason IS NULL)",
    ),
    (
        "an audit row was written by the role of another plane",
        "SELECT count(*) FROM audit_events WHERE (plane = 'auth' AND db_role <> 'opentrusty_authd')
          OR (plane = 'admin' AND db_role <> 'opentrusty_admind')",
    ),
    ("an audit row is of the future", "SELECT count(*) FROM audit_events WHERE at > now()"),
    (
        "a code was redeemed after its time",
        "SELECT count(*) FROM codes WHERE redeemed_at > expires_at OR redeemed_at < created_at",
    ),
    (
        "an access token came with a refresh token of another grant",
        "SELECT count(*) FROM access_tokens a WHERE refresh_hash IS NOT NULL AND NOT EXISTS (SELECT FROM refresh_tokens r
          WHERE r.token_hash = a.refresh_hash AND r.grant_id = a.grant_id)",
    ),
    (
        "a refresh token's successor is of another grant",
        "SELECT count(*) FROM refresh_tokens r JOIN refresh_tokens s ON s.token_hash = r.successor_hash
          WHERE s.grant_id <> r.grant_id",
    ),
    (
        "a refresh token succeeds two",
        "SELECT count(*) FROM (SELECT successor_hash FROM refresh_tokens WHERE successor_hash IS NOT NULL
          GROUP BY successor_hash HAVING count(*) > 1) twice",
    ),
    (
        "an access token may do more than its grant",
        "SELECT count(*) FROM access_tokens a JOIN grants g ON g.id = a.grant_id
          WHERE NOT a.scopes <@ g.scopes OR NOT a.audiences <@ g.audiences",
    ),
    (
        "a grant is for somebody who is no member of its client's tenant",
        "SELECT count(*) FROM grants g JOIN clients c ON c.id = g.client WHERE c.tenant_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM memberships m WHERE m.tenant_id = c.tenant_id AND m.user_id = g.user_id)",
    ),
    (
        "a grant names its person as somebody else or as another tenant knows them",
        "SELECT count(*) FROM grants g JOIN clients c ON c.id = g.client LEFT JOIN subjects s ON s.sub = g.sub
          WHERE s.sub IS NULL OR s.user_id <> g.user_id OR s.tenant_id IS DISTINCT FROM c.tenant_id",
    ),
    (
        "a grant comes from the session of somebody else",
        "SELECT count(*) FROM grants g JOIN sessions s ON s.id = g.session_id WHERE s.user_id <> g.user_id",
    ),
    (
        "a name of nobody",
        "SELECT count(*) FROM subjects s WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = s.user_id)",
    ),
    (
        "a message that is over still says something",
        "SELECT count(*) FROM outbox WHERE (done_at IS NOT NULL OR failed_at IS NOT NULL)
          AND (body <> '{}' OR bearer IS NOT NULL)",
    ),
    (
        "a message both came and did not",
        "SELECT count(*) FROM outbox WHERE done_at IS NOT NULL AND failed_at IS NOT NULL",
    ),
    (
        "an access token outlives its grant",
        "SELECT count(*) FROM access_tokens a JOIN grants g ON g.id = a.grant_id
          WHERE a.expires_at > g.expires_at",
    ),
    (
        "the platform has not one issuer",
        "SELECT abs(1 - count(*)) FROM issuers WHERE tenant_id IS NULL",
    ),
    (
        "a session was seen or ended before it began",
        "SELECT count(*) FROM sessions WHERE ended_at < created_at OR last_seen_at < created_at",
    ),
    (
        "a throttle's wait was over before its last attempt",
        "SELECT count(*) FROM throttles WHERE blocked_until < last_at",
    ),
];
