-- An invitation is answered once, while it is open, by whom it is for: authd writes the answer, and whoever has taken
-- authd over must not make an old refusal, or one that ran out, an acceptance (W151).
CREATE FUNCTION answer_once() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF OLD.accepted_at IS NOT NULL OR OLD.declined_at IS NOT NULL OR OLD.expires_at <= now() THEN
        RAISE EXCEPTION 'this invitation is not open' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION answer_once() FROM PUBLIC;
CREATE TRIGGER answer_once BEFORE UPDATE ON invitations FOR EACH ROW
    WHEN (NEW.accepted_at IS DISTINCT FROM OLD.accepted_at OR NEW.declined_at IS DISTINCT FROM OLD.declined_at)
    EXECUTE FUNCTION answer_once();

-- A membership that the tenant has disabled is not revived by an invitation from before, nor are its roles.
CREATE OR REPLACE FUNCTION join_invited(batch integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    joined bigint := 0;
    i record;
BEGIN
    FOR i IN SELECT tenant_id, user_id, roles FROM invitations
             WHERE accepted_at IS NOT NULL AND declined_at IS NULL AND joined_at IS NULL
             LIMIT least(greatest(batch, 1), 1000) FOR UPDATE SKIP LOCKED LOOP
        UPDATE invitations SET joined_at = now() WHERE tenant_id = i.tenant_id AND user_id = i.user_id;
        INSERT INTO memberships (tenant_id, user_id) VALUES (i.tenant_id, i.user_id) ON CONFLICT DO NOTHING;
        IF EXISTS (SELECT FROM memberships m
                   WHERE m.tenant_id = i.tenant_id AND m.user_id = i.user_id AND m.status = 'active') THEN
            INSERT INTO role_assignments (id, user_id, role, scope, tenant_id)
                SELECT gen_random_uuid(), i.user_id, r.name, r.scope, i.tenant_id FROM roles r
                WHERE r.name = ANY (i.roles) AND r.scope = 'tenant' AND r.name <> 'tenant_owner'
                ON CONFLICT DO NOTHING;
            INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, data)
                VALUES ('admin', 'membership.joined', 'user', i.user_id::text, i.tenant_id, 'user', i.user_id::text,
                        jsonb_build_object('roles', i.roles));
        END IF;
        joined := joined + 1;
    END LOOP;
    RETURN joined;
END $$;

-- The right to change keys is a row that only admind's role can lock. An advisory lock is anybody's who is connected.
CREATE TABLE key_lock (one boolean PRIMARY KEY DEFAULT true CHECK (one));
INSERT INTO key_lock DEFAULT VALUES;
GRANT SELECT, UPDATE (one) ON key_lock TO opentrusty_admind;
