//! A tenant asks, a person answers, the management plane lets them in (W33).

use std::time::Duration;

use e2e::bench::until;

use super::*;

#[test]
fn w33_an_invitation_that_is_accepted_opens_a_tenant_and_nothing_less_does() {
    let stand = alone();
    let rival = sql(&stand, "SELECT id FROM tenants WHERE slug = 'rival'");
    let acme = sql(&stand, "SELECT id FROM tenants WHERE slug = 'acme'");
    let dora = user_id(&stand, DORA);
    invite(&stand, "acme", DORA, "{tenant_admin,tenant_owner}");
    // Inside one tenant, admind invites to no other, and answers for nobody.
    for denied in [
        format!(
            "INSERT INTO invitations (tenant_id, user_id) VALUES ('{acme}', '{}')",
            user_id(&stand, BEN)
        ),
        format!(
            "INSERT INTO invitations (tenant_id, user_id, accepted_at) VALUES ('{rival}', '{dora}', now())"
        ),
        "UPDATE invitations SET accepted_at = now()".to_owned(),
        "DELETE FROM invitations".to_owned(),
    ] {
        let text =
            format!("BEGIN; SELECT set_config('opentrusty.tenant', '{rival}', true); {denied}");
        stand.psql("opentrusty_admind", &text).unwrap_err();
    }
    let mut browser = signed_in(&stand, DORA);
    let before = Ask::new(TWIN).with("prompt", "none").send_in(&stand, &mut browser);
    assert!(!before.location().contains("code="), "{}", before.location());
    assert_eq!(stand.psql("opentrusty_admind", "SELECT join_invited(100)").unwrap(), "0");

    let page = open_account(&stand, &mut browser, DORA);
    let html = page.response.text();
    assert!(html.contains("Acme") && html.contains("administrator"), "{html}");
    assert_eq!(attributes(&page, "data-tenant"), ["acme"]);
    let csrf = csrf_of(&page, "/account/invitations", "acme");
    for wrong in ["", "yes", "ACCEPT"] {
        let form = [("csrf", csrf.as_str()), ("tenant", "acme"), ("decision", wrong)];
        send(&stand, &mut browser, "/account/invitations", &form).expect(403);
    }
    let page = browser.submit(&[("decision", "accept")]).clone();
    assert_eq!(attributes(&page, "data-tenant"), Vec::<String>::new());
    let member = format!(
        "SELECT count(*) FROM memberships WHERE tenant_id = '{acme}' AND user_id = '{dora}'"
    );
    until("the membership is made", Duration::from_secs(30), || {
        (sql(&stand, &member) == "1").then_some(())
    });
    let roles = sql(
        &stand,
        &format!(
            "SELECT role FROM role_assignments WHERE tenant_id = '{acme}' AND user_id = '{dora}'"
        ),
    );
    assert_eq!(roles, "tenant_admin", "not the owner");
    assert!(is_alive(&stand, TWIN, &issue_in(&stand, &mut browser, &Ask::new(TWIN), DORA).access));
    for event in ["membership.accepted", "membership.joined"] {
        assert_eq!(audits(&stand, event, &dora), 1, "{event}");
    }
    // Answering again changes nothing: to decline is not to leave.
    let before = digest(&stand);
    let form = [("csrf", csrf.as_str()), ("tenant", "acme"), ("decision", "decline")];
    send(&stand, &mut browser, "/account/invitations", &form).expect(303);
    assert_eq!(digest(&stand), before);
    sql(
        &stand,
        &format!(
            "DELETE FROM invitations; DELETE FROM memberships WHERE tenant_id = '{acme}' AND user_id = '{dora}'"
        ),
    );
}

#[test]
fn w33_an_invitation_that_is_declined_expired_or_of_a_suspended_tenant_opens_nothing() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    invite(&stand, "rival", BEN, "{}");
    let page = open_account(&stand, &mut browser, BEN);
    let csrf = csrf_of(&page, "/account/invitations", "rival");
    let accept = [("csrf", csrf.as_str()), ("tenant", "rival"), ("decision", "accept")];
    for (closed, open) in [
        (
            "UPDATE invitations SET created_at = created_at - interval '31 days', expires_at = now()",
            "UPDATE invitations SET expires_at = now() + interval '1 day'",
        ),
        (
            "UPDATE tenants SET status = 'suspended' WHERE slug = 'rival'",
            "UPDATE tenants SET status = 'active'",
        ),
    ] {
        sql(&stand, closed);
        let page = open_account(&stand, &mut browser, BEN);
        assert_eq!(attributes(&page, "data-tenant"), Vec::<String>::new());
        send(&stand, &mut browser, "/account/invitations", &accept).expect(303);
        sql(&stand, open);
    }
    open_account(&stand, &mut browser, BEN);
    browser.submit(&[("decision", "decline")]);
    send(&stand, &mut browser, "/account/invitations", &accept).expect(303);
    assert_eq!(
        sql(&stand, "SELECT declined_at IS NOT NULL AND accepted_at IS NULL FROM invitations"),
        "t"
    );
    assert_eq!(stand.psql("opentrusty_admind", "SELECT join_invited(100)").unwrap(), "0");
    assert_eq!(audits(&stand, "membership.declined", &user_id(&stand, BEN)), 1);
    sql(&stand, "DELETE FROM invitations");
}
