//! Keyed names of requests that wait: what the database holds of them cannot be searched without the key
//! that only this installation has. The same on every node.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::Plain;
use oauth::deferred::UserCode;
use oauth::secret::ApprovalHandle;

use crate::app::App;
use crate::failure::Failure;

/// What a table holds in a user code's stead: 34 bits behind a plain hash would be found in seconds.
pub(crate) async fn user_code(app: &App, code: UserCode) -> Result<[u8; 32], Failure> {
    mac(app, "user code", &code.to_string()).await
}

/// What a person names a CIBA request by: computed anew for whoever may see the request, stored as a hash.
pub(crate) async fn approval_handle(
    app: &App,
    poll: &[u8; 32],
) -> Result<Plain<ApprovalHandle>, Failure> {
    let poll = URL_SAFE_NO_PAD.encode(poll);
    Ok(Plain::from_random(&mac(app, "approval handle", &poll).await?))
}

/// The key is that of the forms. No form's message begins like these: it begins with a browser's secret.
async fn mac(app: &App, domain: &'static str, text: &str) -> Result<[u8; 32], Failure> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &app.csrf_key().await?.0);
    let tag = hmac::sign(&key, [domain, text].join("\n").as_bytes());
    tag.as_ref().try_into().map_err(|_| Failure::internal("a tag of another length"))
}
