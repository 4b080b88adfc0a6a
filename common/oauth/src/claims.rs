//! Claims of the tokens that keyd signs. One function writes each token, reserved names last and only
//! here (W14): nothing configured can override them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::ids::{ClientId, SessionId, TokenId};
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

/// What both tokens of one answer have in common.
#[derive(Debug, Clone)]
pub struct Issued<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `sub`.
    pub sub: &'a str,
    /// `client_id`, and the ID token's `aud`.
    pub client: &'a ClientId,
    /// `iat`.
    pub now: Timestamp,
    /// `auth_time`, `amr`, `sid`.
    pub authentication: &'a Authentication,
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
    auth_time: Timestamp,
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
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
        sub: issued.sub,
        aud,
        exp: issued.now.plus(token.lifetime_s),
        iat: issued.now,
        jti: token.id,
        client_id: issued.client,
        scope: token.scopes.to_string(),
        auth_time: issued.authentication.auth_time,
        amr: &issued.authentication.amr,
        sid: issued.authentication.session,
    })
}

#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a ClientId,
    exp: Timestamp,
    iat: Timestamp,
    auth_time: Timestamp,
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    at_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
}

/// The ID token's claims as JSON (OIDC Core §2, §3.1.3.6). `access_token` is what it is issued beside.
pub fn id_token(
    issued: &Issued<'_>,
    nonce: Option<&str>,
    access_token: &str,
    lifetime_s: u32,
) -> Vec<u8> {
    json(&IdClaims {
        iss: issued.issuer,
        sub: issued.sub,
        aud: issued.client,
        exp: issued.now.plus(lifetime_s),
        iat: issued.now,
        auth_time: issued.authentication.auth_time,
        amr: &issued.authentication.amr,
        nonce,
        at_hash: at_hash(access_token),
        sid: issued.authentication.session,
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
        let client = "app".parse().unwrap();
        let issued = Issued {
            issuer: "https://as.example",
            sub: "s",
            client: &client,
            now: Timestamp(100),
            authentication: &authentication,
        };
        let id = TokenId(uuid::Uuid::nil());
        let scopes = "openid read".parse().unwrap();
        let token =
            AccessToken { id, audiences: &["a".to_owned()], scopes: &scopes, lifetime_s: 60 };
        assert_eq!(
            String::from_utf8(access_token(&issued, &token)).unwrap(),
            r#"{"iss":"https://as.example","sub":"s","aud":"a","exp":160,"iat":100,"jti":"00000000-0000-0000-0000-000000000000","client_id":"app","scope":"openid read","auth_time":90,"amr":["pwd"]}"#
        );
        // at_hash of the example in OIDC Core §A.3's style: the left half of SHA-256.
        assert_eq!(
            String::from_utf8(id_token(&issued, Some("n"), "abc", 300)).unwrap(),
            r#"{"iss":"https://as.example","sub":"s","aud":"app","exp":400,"iat":100,"auth_time":90,"amr":["pwd"],"nonce":"n","at_hash":"ungWv48Bz-pBQUDeXa4iIw"}"#
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
