use serde_json::{Value, json};

use super::*;
use crate::ErrorCode;
use crate::Timestamp;
use crate::client::{Client, Draft, Evidence, Metadata, Presented, StoredSecret};
use crate::form::Form;
use crate::secret::Hashed;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://as.example";

fn client(number: u128, more: &Value) -> Authenticated {
    let mut registered = json!({
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": ["https://app.example/cb"],
        "scope": "openid read", "token_endpoint_auth_method": "client_secret_post"
    });
    for (name, value) in more.as_object().unwrap() {
        registered[name] = value.clone();
    }
    let draft: Draft = serde_json::from_value(registered).unwrap();
    let client = Client {
        key: ClientKey(uuid::Uuid::from_u128(number)),
        id: "app".parse().unwrap(),
        tenant: None,
        metadata: Metadata::try_from(draft).unwrap(),
    };
    let secret = if client.metadata.is_public() {
        String::new()
    } else {
        format!("&client_secret={SECRET}")
    };
    let form = Form::parse(format!("client_id=app{secret}").as_bytes()).unwrap();
    let evidence = Evidence {
        secrets: &[StoredSecret { hash: Hashed::of(SECRET), expires_at: None }],
        fetched: None,
        issuer: ISSUER,
        endpoint: "https://as.example/oauth/token",
        now: Timestamp(0),
    };
    let presented = Presented::parse(None, &form).unwrap();
    client.authenticate(&presented, &evidence, |_, _| false).unwrap().0
}

fn verdict(client: &Authenticated, spent: bool, scopes: Option<&str>) -> Verdict {
    let stored = StoredRefresh {
        client: ClientKey(uuid::Uuid::from_u128(1)),
        granted: Granted {
            scopes: "openid read".parse().unwrap(),
            audiences: vec![ISSUER.to_owned()],
            details: None,
        },
        spent,
    };
    let request = RefreshRequest {
        token: None,
        scopes: scopes.map(|scopes| scopes.parse().unwrap()),
        audiences: Vec::new(),
        details: None,
    };
    decide(&stored, &request, client, ISSUER)
}

fn short(verdict: &Verdict) -> Result<String, Result<Misuse, ErrorCode>> {
    match verdict {
        Verdict::Rotate(granted) => Ok(granted.scopes.to_string()),
        Verdict::End(misuse) => Err(Ok(*misuse)),
        Verdict::Refuse(error) => Err(Err(error.code)),
    }
}

/// Every combination of who presents it, whether it is spent, and whether the request is well made.
#[test]
fn w36_w38_w39_a_replay_and_a_theft_end_the_family_and_a_mistake_does_not() {
    let own = client(1, &json!({}));
    let patient = client(1, &json!({ "refresh_retry_s": 10 }));
    let lost_it = client(1, &json!({ "grant_types": ["authorization_code"] }));
    let other = client(2, &json!({}));
    let public = client(2, &json!({ "token_endpoint_auth_method": "none" }));
    let all = || Ok("openid read".to_owned());
    let (stolen, reused) = (|| Err(Ok(Misuse::Stolen)), || Err(Ok(Misuse::Reused)));
    let wrong = |code| Err(Err(code));
    for (who, spent, scopes, wanted) in [
        (&own, false, None, all()),
        (&own, false, Some("read"), Ok("read".to_owned())),
        (&own, false, Some("read write"), wrong(ErrorCode::InvalidScope)),
        (&own, true, None, reused()),
        (&own, true, Some("read write"), reused()),
        // Whether it is within the window only the gate can tell.
        (&patient, true, None, all()),
        (&patient, true, Some("read write"), all()),
        (&patient, false, Some("read write"), wrong(ErrorCode::InvalidScope)),
        (&lost_it, false, None, wrong(ErrorCode::UnauthorizedClient)),
        (&lost_it, true, None, wrong(ErrorCode::UnauthorizedClient)),
        (&other, false, None, stolen()),
        (&other, true, None, stolen()),
        (&other, false, Some("read write"), stolen()),
        (&public, false, None, wrong(ErrorCode::InvalidGrant)),
        (&public, true, None, wrong(ErrorCode::InvalidGrant)),
    ] {
        assert_eq!(short(&verdict(who, spent, scopes)), wanted, "{:?} {spent} {scopes:?}", who.key);
    }
}
