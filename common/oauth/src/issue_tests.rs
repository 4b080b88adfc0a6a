use serde_json::{Value, json};

use super::*;
use crate::claims::Authentication;
use crate::client::{Draft as Registration, Metadata};
use crate::ids::{ClientKey, TenantId};

const API: &str = "https://api.example";
const ADMIN: &str = "https://admin.example";
const DEFAULTS: Lifetimes = Lifetimes { access_s: 3600, refresh_s: 86_400, id_s: 300 };

fn client(more: &Value) -> Client {
    let mut registered = json!({
        "grant_types": ["authorization_code"], "redirect_uris": ["https://app.example/cb"],
        "scope": "openid read", "audiences": [API, ADMIN]
    });
    for (name, value) in more.as_object().unwrap() {
        registered[name] = value.clone();
    }
    let draft: Registration = serde_json::from_value(registered).unwrap();
    Client {
        key: ClientKey(uuid::Uuid::from_u128(1)),
        id: "app".parse().unwrap(),
        tenant: None,
        metadata: Metadata::try_from(draft).unwrap(),
    }
}

fn person() -> Holder {
    let authentication =
        Authentication { auth_time: Timestamp(0), amr: vec!["pwd".to_owned()], session: None };
    Holder { sub: "ana".to_owned(), authentication: Some(authentication), act: None }
}

fn draft<'a>(holder: &'a Holder, audiences: &[&str], form: Form) -> Draft<'a> {
    Draft {
        holder,
        granted: Granted {
            scopes: "openid read".parse().unwrap(),
            audiences: audiences.iter().map(|&audience| audience.to_owned()).collect(),
            details: None,
        },
        nonce: None,
        released: None,
        ends_at: None,
        form,
    }
}

fn planned(client: &Client, draft: &Draft<'_>) -> Result<Plan, ErrorCode> {
    let terms = Terms { admin_audience: ADMIN, lifetimes: &DEFAULTS };
    plan(client, draft, &terms, Timestamp(1000)).map_err(|error| error.code)
}

#[test]
fn what_is_made_follows_the_registration_and_the_form() {
    let (ana, nobody) = (person(), Holder { authentication: None, ..person() });
    let usual = client(&json!({}));
    let opaque =
        client(&json!({ "opaque_access_tokens": true, "id_token_signed_response_alg": "EdDSA" }));
    let exchanged = |jwt| Form::Exchanged { jwt };
    for (client, holder, form, is_opaque, id_token) in [
        (&usual, &ana, Form::Registered, false, Some(Algorithm::Rs256)),
        (&usual, &nobody, Form::Registered, false, None),
        (&usual, &ana, exchanged(false), false, None),
        (&usual, &ana, exchanged(true), false, None),
        (&opaque, &ana, Form::Registered, true, Some(Algorithm::EdDsa)),
        (&opaque, &ana, exchanged(false), true, None),
        (&opaque, &ana, exchanged(true), false, None),
    ] {
        let plan = planned(client, &draft(holder, &[API], form)).unwrap();
        assert_eq!((plan.purpose, plan.lifetime_s), (Purpose::AccessToken, 3600));
        assert_eq!((plan.opaque, plan.id_token), (is_opaque, id_token), "{form:?}");
    }
    let mut without = draft(&ana, &[API], Form::Registered);
    without.granted.scopes = "read".parse().unwrap();
    assert_eq!(planned(&usual, &without).unwrap().id_token, None);
}

#[test]
fn w34_a_token_outlives_neither_its_grant_nor_what_was_registered() {
    let ana = person();
    let short = client(&json!({ "access_token_lifetime": 600 }));
    for (ends_at, lifetime_s) in [
        (None, Ok(600)),
        (Some(Timestamp(i64::MAX)), Ok(600)),
        (Some(Timestamp(1001)), Ok(1)),
        (Some(Timestamp(1000)), Err(ErrorCode::InvalidGrant)),
        (Some(Timestamp(0)), Err(ErrorCode::InvalidGrant)),
    ] {
        let draft = Draft { ends_at, ..draft(&ana, &[API], Form::Registered) };
        let planned = planned(&short, &draft).map(|plan| plan.lifetime_s);
        assert_eq!(planned, lifetime_s, "{ends_at:?}");
    }
}

#[test]
fn w67_a_token_for_the_admin_api_is_the_platforms_alone_signed_short_and_never_exchanged_for() {
    let ana = person();
    let console = client(&json!({ "opaque_access_tokens": true }));
    let plan = planned(&console, &draft(&ana, &[ADMIN], Form::Registered)).unwrap();
    assert_eq!((plan.purpose, plan.lifetime_s, plan.opaque), (Purpose::AdminToken, 300, false));
    let tenants = Client { tenant: Some(TenantId(uuid::Uuid::from_u128(2))), ..console.clone() };
    for (client, audiences, form) in [
        (&tenants, &[ADMIN] as &[&str], Form::Registered),
        (&console, &[ADMIN, API], Form::Registered),
        (&console, &[API, ADMIN], Form::Exchanged { jwt: true }),
        (&console, &[ADMIN], Form::Exchanged { jwt: false }),
    ] {
        assert_eq!(planned(client, &draft(&ana, audiences, form)), Err(ErrorCode::InvalidTarget));
    }
}
