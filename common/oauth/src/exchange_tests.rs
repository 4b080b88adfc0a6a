use super::*;
use crate::client::{Client, Draft, Evidence, Metadata, Presented as Credentials, StoredSecret};
use crate::secret::Hashed;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn client() -> Authenticated {
    let draft: Draft = serde_json::from_value(json!({
        "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"], "scope": "read write",
        "token_endpoint_auth_method": "client_secret_post"
    }))
    .unwrap();
    let client = Client {
        key: ClientKey(uuid::Uuid::from_u128(1)),
        id: "gateway".parse().unwrap(),
        tenant: None,
        metadata: Metadata::try_from(draft).unwrap(),
    };
    let body = format!("client_id=gateway&client_secret={SECRET}");
    let presented = Credentials::parse(None, &Form::parse(body.as_bytes()).unwrap()).unwrap();
    let stored = [StoredSecret { hash: Hashed::of(SECRET), expires_at: None }];
    let evidence = Evidence {
        secrets: &stored,
        fetched: None,
        issuer: "https://as.example",
        endpoint: "https://as.example/oauth/token",
        now: Timestamp(0),
    };
    client.authenticate(&presented, &evidence, |_, _| false).unwrap().0
}

fn party() -> Party {
    Party {
        client: ClientKey(uuid::Uuid::from_u128(2)),
        tenant: None,
        user: Some(UserId(uuid::Uuid::from_u128(3))),
        administers: false,
        holder: Holder { sub: "ana".into(), authentication: None, act: None },
        scopes: "openid read".parse().unwrap(),
        audiences: vec!["front".into()],
        details: None,
        expires_at: Timestamp(100),
        grants: vec![GrantId(uuid::Uuid::from_u128(4))],
    }
}

fn policy(target: &str, mode: Mode) -> Policy {
    Policy { subject_audience: "front".into(), target_audience: target.into(), mode }
}

fn request(more: &str) -> Result<ExchangeRequest, Error> {
    let form = format!("subject_token=t&subject_token_type={ACCESS_TOKEN}{more}");
    let form = Form::parse(form.as_bytes()).unwrap();
    let scopes = form.one("scope").unwrap().map(|text| text.parse().unwrap());
    let audiences = form.all("audience").map(str::to_owned).collect();
    ExchangeRequest::parse(&form, scopes, audiences, None)
}

fn run(more: &str, subject: Party, policies: &[Policy]) -> Result<Exchanged, Error> {
    exchange(&client(), &request(more).unwrap(), (Some(subject), None), policies)
}

#[test]
fn delegation_says_who_acts_and_narrows() {
    let done = run("&audience=back", party(), &[policy("back", Mode::Delegation)]).unwrap();
    assert_eq!(done.holder.act, Some(json!({"sub": "gateway", "client_id": "gateway"})));
    assert_eq!((done.holder.sub.as_str(), done.scopes.to_string().as_str()), ("ana", "read"));
    assert_eq!((done.audiences, done.ends_at), (vec!["back".to_owned()], Timestamp(100)));
    assert_eq!(done.ancestors, party().grants);
}

#[test]
fn w66_nothing_is_allowed_without_a_policy() {
    let code = |more: &str, policies: &[Policy]| run(more, party(), policies).unwrap_err().code;
    assert_eq!(code("&audience=back", &[]), ErrorCode::UnauthorizedClient);
    let other = [policy("elsewhere", Mode::Delegation)];
    assert_eq!(code("&audience=back", &other), ErrorCode::InvalidTarget);
    assert_eq!(code("&audience=elsewhere&audience=back", &other), ErrorCode::InvalidTarget);
    let foreign = [Policy { subject_audience: "else".into(), ..policy("back", Mode::Delegation) }];
    assert_eq!(code("&audience=back", &foreign), ErrorCode::UnauthorizedClient);
    let back = [policy("back", Mode::Delegation)];
    assert_eq!(code("&audience=back&scope=write", &back), ErrorCode::InvalidScope);
    assert_eq!(code("&audience=back&scope=openid", &back), ErrorCode::InvalidScope);
}

#[test]
fn w67_impersonation_is_explicit_keeps_the_chain_and_spares_administrators() {
    let policies = [policy("back", Mode::Impersonation)];
    let mut subject = party();
    subject.holder.act = Some(json!({"sub": "earlier"}));
    let done = run("", subject, &policies).unwrap();
    assert_eq!(done.mode, Mode::Impersonation);
    assert_eq!(done.holder.act, Some(json!({"sub": "earlier"})));
    let admin = Party { administers: true, ..party() };
    assert_eq!(run("", admin.clone(), &policies).unwrap_err().code, ErrorCode::UnauthorizedClient);
    assert!(run("", admin, &[policy("back", Mode::Delegation)]).is_ok());
}

#[test]
fn w67_a_chain_has_five_actors_at_most() {
    let policies = [policy("back", Mode::Delegation)];
    let mut subject = party();
    for _ in 0..ACTORS_MAX {
        let done = run("", subject.clone(), &policies).unwrap();
        subject.holder.act = done.holder.act;
    }
    assert_eq!(run("", subject, &policies).unwrap_err().code, ErrorCode::InvalidRequest);
}

#[test]
fn w65_there_is_no_exchange_without_a_live_subject_of_the_same_tenant() {
    let policies = [policy("back", Mode::Delegation), policy("back", Mode::Impersonation)];
    let asked = request("&audience=back").unwrap();
    let none = exchange(&client(), &asked, (None, None), &policies).unwrap_err();
    assert_eq!(none.code, ErrorCode::InvalidRequest);
    let foreign = Party { tenant: Some(TenantId(uuid::Uuid::nil())), ..party() };
    let refused = exchange(&client(), &asked, (Some(foreign), None), &policies).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
}

#[test]
fn an_actor_token_is_the_clients_own_or_meant_for_it() {
    let policies = [policy("back", Mode::Delegation), policy("back", Mode::Impersonation)];
    let asked = request(&format!("&actor_token=a&actor_token_type={ACCESS_TOKEN}")).unwrap();
    let run = |actor| exchange(&client(), &asked, (Some(party()), actor), &policies);
    assert_eq!(run(None).unwrap_err().code, ErrorCode::InvalidRequest);
    assert_eq!(run(Some(party())).unwrap_err().code, ErrorCode::InvalidRequest);
    let holder = Holder { sub: "robot".into(), authentication: None, act: None };
    let own = Party { client: client().key, holder, expires_at: Timestamp(50), ..party() };
    let done = run(Some(own)).unwrap();
    assert_eq!(done.mode, Mode::Delegation);
    assert_eq!(done.holder.act, Some(json!({"sub": "robot", "client_id": "gateway"})));
    assert_eq!(done.ends_at, Timestamp(50));
}

#[test]
fn w65_a_type_that_is_not_served_or_does_not_fit_is_refused() {
    for (token, kind) in [
        ("t", "urn:ietf:params:oauth:token-type:id_token"),
        ("t", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("t", "urn:ietf:params:oauth:token-type:saml2"),
        ("t", JWT),
        ("a.b", JWT),
        ("t", "access_token"),
    ] {
        assert!(presented(token, kind).is_err(), "{token} {kind}");
    }
    assert!(presented("a.b.c", JWT).is_ok());
    for more in ["&actor_token=a", &format!("&actor_token_type={JWT}"), "&requested_token_type=x"] {
        assert_eq!(request(more).err().unwrap().code, ErrorCode::InvalidRequest, "{more}");
    }
}
