//! One module per resource.

pub(crate) mod keys;
pub(crate) mod me;

use serde::de::DeserializeOwned;
use web::Request;

use crate::failure::Failure;

/// A JSON body: the right type, strict, with no field that its type does not name (W99, W152, W160).
pub(crate) fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Failure> {
    let kind = request.header("content-type").map_err(|_| Failure::MediaType)?.unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Failure::MediaType);
    }
    let object = wire::strict_object(&request.body).map_err(|_| Failure::Malformed)?;
    serde_json::from_value(object.into())
        .map_err(|_| Failure::Invalid("an unknown, missing or invalid field"))
}
