//! What a request presents to prove which client sent it (RFC 6749 §2.3).

use secrecy::SecretString;

use crate::form::Form;
use crate::ids::ClientId;
use crate::{Error, basic};

/// What a request presented to authenticate its client. Exactly one method.
pub enum Presented {
    /// HTTP Basic.
    Basic(ClientId, SecretString),
    /// `client_id` and `client_secret` in the body.
    Post(ClientId, SecretString),
    /// `client_id` alone.
    Nothing(ClientId),
}

impl Presented {
    /// From the one `Authorization` header and the body.
    ///
    /// "The client MUST NOT use more than one authentication method in each request" (RFC 6749 §2.3).
    pub fn parse(authorization: Option<&str>, form: &Form) -> Result<Self, Error> {
        let one = |name| form.one(name).map_err(|_| Error::request("a parameter is repeated"));
        let (id, secret, assertion) =
            (one("client_id")?, one("client_secret")?, one("client_assertion")?);
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
            // An assertion is no method that any client here is registered for, whatever it says.
            (None, None) if assertion.is_some() || authorization.is_some() => Err(Error::client()),
            (None, None) => Ok(Self::Nothing(named.ok_or_else(Error::client)?)),
        }
    }

    /// Who it claims to be.
    pub fn client_id(&self) -> &ClientId {
        match self {
            Self::Basic(id, _) | Self::Post(id, _) | Self::Nothing(id) => id,
        }
    }
}
