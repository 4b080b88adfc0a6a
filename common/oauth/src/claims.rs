//! Claims of the tokens that keyd signs. One function writes each token, reserved names last and only
//! here (W14): nothing configured can override them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::ids::{ClientId, SessionId, TokenId};
use crate::rar::Details;
use crate::{ScopeSet, Timestamp};

/// Facts about one sign-in that tokens carry.
#[derive(Debug, Clone)]
pub struct Authentication {
    /// When the person last proved who they are.
    pub auth_time: Timestamp,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// The session, if it still stands.
    pub session: Option<SessionId>,
}

/// Whom a token is about.
#[derive(Debug, Clone)]
pub struct Holder {
    /// `sub`: a person's name at this client's tenant, or a client's own id.
    pub sub: String,
    /// `None`: no person is behind it (RFC 6749 §4.4).
    pub authentication: Option<Authentication>,
    /// Who acts for the subject, and for whom they act in turn (RFC 8693 §4.1).
    pub act: Option<Value>,
}

/// What both tokens of one answer have in common.
#[derive(Debug, Clone)]
pub struct Issued<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `sub`, `auth_time`, `acr`, `amr`, `sid`, `act`.
    pub holder: &'a Holder,
    /// `client_id`, and the ID token's `aud`.
    pub client: &'a ClientId,
    /// `iat`.
    pub now: Timestamp,
}

/// `acr` of a sign-in with a password alone.
pub const ACR_PASSWORD: &str = "urn:opentrusty:acr:password";

impl Authentication {
    /// The authentication context class that these methods amount to (OIDC Core §2 `acr`).
    pub fn acr(&self) -> &'static str {
        ACR_PASSWORD
    }
}

/// An access token in the JWT profile (RFC 9068 §2.2).
#[derive(Debug, Clone)]
pub struct AccessToken<'a> {
    /// `jti`.
    pub id: TokenId,
    /// `aud`; never empty.
    pub audiences: &'a [String],
    /// `scope`.
    pub scopes: &'a ScopeSet,
    /// `authorization_details` (RFC 9396 §9.1).
    pub details: Option<&'a Details>,
    /// Seconds from `iat` to `exp`.
    pub lifetime_s: u32,
}

#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: Audience<'a>,
    exp: Timestamp,
    iat: Timestamp,
    jti: TokenId,
    client_id: &'a ClientId,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<&'a Details>,
    #[serde(flatten)]
    person: Option<Person<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<&'a Value>,
}

/// The claims of a sign-in.
#[derive(Serialize)]
struct Person<'a> {
    auth_time: Timestamp,
    acr: &'static str,
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
}

impl<'a> Person<'a> {
    fn of(holder: &'a Holder) -> Option<Self> {
        let authentication = holder.authentication.as_ref()?;
        Some(Self {
            auth_time: authentication.auth_time,
            acr: authentication.acr(),
            amr: &authentication.amr,
            sid: authentication.session,
        })
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Many(&'a [String]),
}

/// The access token's claims as JSON.
pub fn access_token(issued: &Issued<'_>, token: &AccessToken<'_>) -> Vec<u8> {
    let aud = match token.audiences {
        [one] => Audience::One(one),
        many => Audience::Many(many),
    };
    json(&AccessClaims {
        iss: issued.issuer,
        sub: &issued.holder.sub,
        aud,
        exp: issued.now.plus(token.lifetime_s),
        iat: issued.now,
        jti: token.id,
        client_id: issued.client,
        scope: token.scopes.to_string(),
        authorization_details: token.details,
        person: Person::of(issued.holder),
        act: issued.holder.act.as_ref(),
    })
}

#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a ClientId,
    exp: Timestamp,
    iat: Timestamp,
    #[serde(flatten)]
    person: Option<Person<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_hash: Option<String>,
    /// What the request asked for in here (OIDC Core §5.5), and its scopes release.
    #[serde(flatten)]
    released: Option<&'a Map<String, Value>>,
}

/// What an ID token carries beside the sign-in.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdToken<'a> {
    /// `nonce`, when the request had one.
    pub nonce: Option<&'a str>,
    /// The access token that it is issued beside.
    pub access_token: Option<&'a str>,
    /// Claims about the person that the request wants in the ID token and its scopes release. None of them
    /// may be called like a claim of ours: [`crate::userinfo`] is the only maker.
    pub released: Option<&'a Map<String, Value>>,
    /// Seconds from `iat` to `exp`.
    pub lifetime_s: u32,
}

/// The ID token's claims as JSON (OIDC Core §2, §3.1.3.6).
pub fn id_token(issued: &Issued<'_>, token: &IdToken<'_>) -> Vec<u8> {
    json(&IdClaims {
        iss: issued.issuer,
        sub: &issued.holder.sub,
        aud: issued.client,
        exp: issued.now.plus(token.lifetime_s),
        iat: issued.now,
        person: Person::of(issued.holder),
        nonce: token.nonce,
        at_hash: token.access_token.map(at_hash),
        released: token.released,
    })
}

/// "the base64url encoding of the left-most half of the hash" (OIDC Core §3.1.3.6); SHA-256 for every
/// algorithm that we sign with.
fn at_hash(access_token: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(access_token).into();
    let (half, _) = digest.split_at(16);
    URL_SAFE_NO_PAD.encode(half)
}

fn json(claims: &impl Serialize) -> Vec<u8> {
    // Structs of strings and integers always serialise; were that ever untrue, keyd refuses empty claims.
    serde_json::to_vec(claims).unwrap_or_default()
}

/// `aud` of a new access token: what was asked for, else the client's audiences, else the issuer itself.
pub fn audiences(asked: &[String], clients: &[String], issuer: &str) -> Vec<String> {
    let chosen = if asked.is_empty() { clients } else { asked };
    if chosen.is_empty() { vec![issuer.to_owned()] } else { chosen.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w91_tokens_carry_exactly_these_members() {
        let authentication =
            Authentication { auth_time: Timestamp(90), amr: vec!["pwd".into()], session: None };
        let holder = Holder { sub: "s".into(), authentication: Some(authentication), act: None };
        let client = "app".parse().unwrap();
        let issued = Issued {
            issuer: "https://as.example",
            holder: &holder,
            client: &client,
            now: Timestamp(100),
        };
        let id = TokenId(uuid::Uuid::nil());
        let scopes = "openid read".parse().unwrap();
        let token = AccessToken {
            id,
            audiences: &["a".to_owned()],
            scopes: &scopes,
            details: None,
            lifetime_s: 60,
        };
        assert_eq!(
            String::from_utf8(access_token(&issued, &token)).unwrap(),
            r#"{"iss":"https://as.example","sub":"s","aud":"a","exp":160,"iat":100,"jti":"00000000-0000-0000-0000-000000000000","client_id":"app","scope":"openid read","auth_time":90,"acr":"urn:opentrusty:acr:password","amr":["pwd"]}"#
        );
        // at_hash of the example in OIDC Core §A.3's style: the left half of SHA-256.
        assert_eq!(
            String::from_utf8(id_token(
                &issued,
                &IdToken {
                    nonce: Some("n"),
                    access_token: Some("abc"),
                    released: None,
                    lifetime_s: 300
                }
            ))
            .unwrap(),
            r#"{"iss":"https://as.example","sub":"s","aud":"app","exp":400,"iat":100,"auth_time":90,"acr":"urn:opentrusty:acr:password","amr":["pwd"],"nonce":"n","at_hash":"ungWv48Bz-pBQUDeXa4iIw"}"#
        );
    }

    #[test]
    fn an_access_token_always_has_an_audience() {
        let own = ["x".to_owned()];
        assert_eq!(audiences(&[], &[], "iss"), ["iss"]);
        assert_eq!(audiences(&[], &own, "iss"), ["x"]);
        assert_eq!(audiences(&["y".to_owned()], &own, "iss"), ["y"]);
    }
}
