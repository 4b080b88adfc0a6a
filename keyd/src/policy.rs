//! What a key may be used for. [`Policy::prepare`] is the only maker of a [`Prepared`], and the token
//! signs nothing else: there is no way from a socket to a raw signature.

use std::sync::Arc;

use serde_json::{Map, Value};
use wire::{Algorithm, AuditRoot, Class, KeyState, Kid, Purpose, Refused, Sign, Statement};

use crate::jws;

/// Most bytes of one token's claims.
pub const CLAIMS_MAX: usize = 16 * 1024;
/// Most audiences of one token.
const AUDIENCES_MAX: usize = 32;

/// Lifetimes and audiences, from the settings.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The `aud` of the admin API.
    pub admin_audience: String,
    /// Ceiling on `exp - iat` of an access token, seconds.
    pub access_lifetime_max_s: u64,
    /// Ceiling on `exp - iat` of a token for the admin API, seconds.
    pub admin_lifetime_max_s: u64,
    /// Ceiling on `exp - iat` of an ID token, seconds.
    pub id_lifetime_max_s: u64,
    /// How long a verifier may keep a JWKS, seconds.
    pub jwks_max_age_s: u64,
    /// How far `iat` may be from keyd's clock, seconds.
    pub clock_skew_s: u64,
}

/// Something that the policy allows to be signed, by the key it allows to sign it.
#[derive(Debug)]
pub struct Prepared {
    statement: Arc<Statement>,
    input: Input,
}

#[derive(Debug)]
enum Input {
    Jws(String),
    Seal(Vec<u8>),
}

/// A signature that has been verified, in the form in which it is released.
#[derive(Debug, PartialEq, Eq)]
pub enum Signed {
    /// A compact JWS.
    Jws(String),
    /// The raw signature over an audit root.
    Seal(Vec<u8>),
}

impl Prepared {
    /// The key that is to sign.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its id.
    pub fn kid(&self) -> Kid {
        self.statement.kid
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.statement.algorithm
    }

    /// The bytes that are to be hashed and signed.
    pub fn message(&self) -> &[u8] {
        match &self.input {
            Input::Jws(input) => input.as_bytes(),
            Input::Seal(input) => input,
        }
    }

    /// Puts the (verified) signature where it belongs.
    pub fn finish(self, signature: Vec<u8>) -> Signed {
        match self.input {
            Input::Jws(input) => Signed::Jws(jws::compact(input, &signature)),
            Input::Seal(_) => Signed::Seal(signature),
        }
    }
}

impl Policy {
    /// Judges claims for a purpose at `now` (seconds since the epoch).
    pub fn prepare(
        &self,
        statement: &Arc<Statement>,
        sign: &Sign,
        now: u64,
    ) -> Result<Prepared, Refused> {
        if statement.kid != sign.kid {
            return Err(Refused::UnknownKey);
        }
        let class = match sign.purpose {
            Purpose::AccessToken | Purpose::IdToken => Class::Token,
            Purpose::AdminToken => Class::Admin,
        };
        if statement.class != class || statement.state(now) != KeyState::Active {
            return Err(Refused::WrongKey);
        }
        if sign.claims.len() > CLAIMS_MAX {
            return Err(Refused::MalformedClaims);
        }
        let claims = wire::strict_object(&sign.claims).map_err(|_| Refused::MalformedClaims)?;
        if claims.get("iss").and_then(Value::as_str) != Some(&statement.issuer) {
            return Err(Refused::ForeignIssuer);
        }
        self.judge_audience(sign.purpose, &claims)?;
        self.judge_times(sign.purpose, &claims, now)?;
        let (required, typ): (&[&str], _) = match sign.purpose {
            // RFC 9068 §2.2: iss, exp, aud, sub, client_id, iat and jti are all REQUIRED. §2.1: the
            // type keeps an access token from passing as an ID token.
            Purpose::AccessToken | Purpose::AdminToken => (&["sub", "client_id", "jti"], "at+jwt"),
            Purpose::IdToken => (&["sub"], "JWT"),
        };
        if !required.iter().all(|name| is_text(claims.get(*name))) {
            return Err(Refused::MissingClaim);
        }
        let input = jws::signing_input(statement.algorithm, sign.kid, typ, &sign.claims);
        Ok(Prepared { statement: Arc::clone(statement), input: Input::Jws(input) })
    }

    /// An audit root for an audit key that is active at `now`.
    pub fn prepare_seal(
        &self,
        statement: &Arc<Statement>,
        root: &AuditRoot,
        now: u64,
    ) -> Result<Prepared, Refused> {
        if statement.class != Class::Audit || statement.state(now) != KeyState::Active {
            return Err(Refused::WrongKey);
        }
        Ok(Prepared { statement: Arc::clone(statement), input: Input::Seal(root.signing_input()) })
    }

    /// The longest that anything signed by a key of `class` can live, seconds.
    pub fn lifetime_max_s(&self, class: Class) -> u64 {
        match class {
            Class::Token => self.access_lifetime_max_s.max(self.id_lifetime_max_s),
            Class::Admin => self.admin_lifetime_max_s,
            // A seal over the audit log is verified for as long as the log exists.
            Class::Audit => u64::MAX,
        }
    }

    fn ceiling_s(&self, purpose: Purpose) -> u64 {
        match purpose {
            Purpose::AccessToken => self.access_lifetime_max_s,
            Purpose::AdminToken => self.admin_lifetime_max_s,
            Purpose::IdToken => self.id_lifetime_max_s,
        }
    }

    fn judge_audience(&self, purpose: Purpose, claims: &Map<String, Value>) -> Result<(), Refused> {
        let audiences = audiences(claims.get("aud")).ok_or(Refused::WrongAudience)?;
        let allowed = match purpose {
            Purpose::AdminToken => audiences == [self.admin_audience.as_str()],
            Purpose::AccessToken | Purpose::IdToken => {
                !audiences.iter().any(|audience| self.resembles_admin(audience))
            }
        };
        if allowed { Ok(()) } else { Err(Refused::WrongAudience) }
    }

    /// Wider than equality: some reader may fold the case of a URL or drop the slash at its end.
    fn resembles_admin(&self, audience: &str) -> bool {
        let bare = |text: &str| text.trim().trim_end_matches('/').to_ascii_lowercase();
        bare(audience) == bare(&self.admin_audience)
    }

    fn judge_times(
        &self,
        purpose: Purpose,
        claims: &Map<String, Value>,
        now: u64,
    ) -> Result<(), Refused> {
        // RFC 7519 §2 lets a NumericDate have a fraction; keyd wants whole seconds, so that no two
        // readers round a limit differently.
        let seconds = |name| claims.get(name).and_then(Value::as_u64);
        let iat = seconds("iat").ok_or(Refused::WrongIssueTime)?;
        if iat.abs_diff(now) > self.clock_skew_s {
            return Err(Refused::WrongIssueTime);
        }
        let exp = seconds("exp").ok_or(Refused::LifetimeTooLong)?;
        let ceiling = iat.saturating_add(self.ceiling_s(purpose));
        if exp <= iat || exp > ceiling {
            return Err(Refused::LifetimeTooLong);
        }
        if claims.contains_key("nbf") {
            let nbf = seconds("nbf").ok_or(Refused::MissingClaim)?;
            if nbf >= exp {
                return Err(Refused::LifetimeTooLong);
            }
        }
        Ok(())
    }
}

/// RFC 7519 §4.1.3: a string or an array of strings; here also neither empty nor holding an empty one.
fn audiences(aud: Option<&Value>) -> Option<Vec<&str>> {
    let audiences = match aud? {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) if many.len() <= AUDIENCES_MAX => {
            many.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return None;
        }
    };
    let sound = !audiences.is_empty() && audiences.iter().all(|audience| !audience.is_empty());
    sound.then_some(audiences)
}

fn is_text(claim: Option<&Value>) -> bool {
    claim.and_then(Value::as_str).is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
