//! What a request presents to prove which client sent it (RFC 6749 §2.3).

use secrecy::SecretString;

use crate::assertion::{self, Assertion};
use crate::form::Form;
use crate::ids::ClientId;
use crate::{Error, basic};

/// What a request presented to authenticate its client. Exactly one method.
pub enum Presented {
    /// HTTP Basic.
    Basic(ClientId, SecretString),
    /// `client_id` and `client_secret` in the body.
    Post(ClientId, SecretString),
    /// A signed assertion (RFC 7523 §2.2), and who it says it is about.
    Assertion(ClientId, Box<Assertion>),
    /// `client_id` alone.
    Nothing(ClientId),
}

impl Presented {
    /// From the one `Authorization` header and the body.
    ///
    /// "The client MUST NOT use more than one authentication method in each request" (RFC 6749 §2.3).
    pub fn parse(authorization: Option<&str>, form: &Form) -> Result<Self, Error> {
        let one = |name| form.one(name).map_err(|_| Error::request("a parameter is repeated"));
        let (id, secret) = (one("client_id")?, one("client_secret")?);
        let (assertion, kind) = (one("client_assertion")?, one("client_assertion_type")?);
        let basic = authorization.and_then(basic::parse);
        if usize::from(basic.is_some())
            + usize::from(secret.is_some())
            + usize::from(assertion.is_some())
            > 1
        {
            return Err(Error::request("more than one client authentication method"));
        }
        let named = id.map(|id| id.parse::<ClientId>().map_err(|_| Error::client())).transpose()?;
        match (basic, secret) {
            (Some(credentials), _) => {
                let (id, secret) = credentials.map_err(|_| Error::client())?;
                if named.is_some_and(|named| named != id) {
                    return Err(Error::client());
                }
                Ok(Self::Basic(id, secret))
            }
            (None, Some(secret)) => {
                Ok(Self::Post(named.ok_or_else(Error::client)?, secret.to_owned().into()))
            }
            (None, None) if authorization.is_some() => Err(Error::client()),
            (None, None) if assertion.is_some() || kind.is_some() => {
                asserted(named.as_ref(), assertion, kind)
            }
            (None, None) => Ok(Self::Nothing(named.ok_or_else(Error::client)?)),
        }
    }

    /// Who it claims to be.
    pub fn client_id(&self) -> &ClientId {
        match self {
            Self::Basic(id, _) | Self::Post(id, _) | Self::Assertion(id, _) | Self::Nothing(id) => {
                id
            }
        }
    }
}

/// "If present, the value of the `client_id` parameter MUST identify the same client as is identified by the
/// client assertion" (RFC 7521 §4.2, W74).
///
/// Another assertion type, or half of the pair, is `invalid_client` and not `invalid_request`: RFC 6749 §5.2
/// gives that code to an "unsupported authentication method", and RFC 7521 §4.2.1 to every assertion that
/// does not authenticate; one answer for all of them tells a guesser nothing (W129).
fn asserted(
    named: Option<&ClientId>,
    assertion: Option<&str>,
    kind: Option<&str>,
) -> Result<Presented, Error> {
    let (Some(text), Some(assertion::TYPE)) = (assertion, kind) else {
        return Err(Error::client());
    };
    let (id, assertion) = Assertion::parse(text).map_err(|_| Error::client())?;
    if named.is_some_and(|named| *named != id) {
        return Err(Error::client());
    }
    Ok(Presented::Assertion(id, Box::new(assertion)))
}
