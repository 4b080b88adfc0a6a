//! Client metadata as an operator, or a seed file, writes it.

use oauth::client::{AuthMethod, Draft, GrantType, Metadata};
use oauth::uri::RedirectUri;

/// What is accepted holds together, and survives its database column unchanged.
pub fn client_metadata(bytes: &[u8]) -> bool {
    let Ok(draft) = serde_json::from_slice::<Draft>(bytes) else { return false };
    let metadata = match Metadata::try_from(draft) {
        Ok(metadata) => metadata,
        Err(invalid) => {
            assert!(!invalid.field.is_empty() && !invalid.problem.is_empty());
            return false;
        }
    };
    let draft = metadata.to_draft();
    let column = serde_json::to_vec(&draft).expect("a draft can be stored");
    let loaded: Draft = serde_json::from_slice(&column).expect("and loaded");
    for again in [draft, loaded] {
        assert_eq!(Metadata::try_from(again).as_ref(), Ok(&metadata));
    }
    consistent(&metadata);
    true
}

fn consistent(metadata: &Metadata) {
    let public = metadata.auth_method == AuthMethod::None;
    assert_eq!(metadata.is_public(), public);
    assert!(!public || metadata.require_pkce);
    assert!(!public || !metadata.grant_types.contains(&GrantType::ClientCredentials));
    let signs = metadata.auth_method == AuthMethod::PrivateKeyJwt;
    assert_eq!(metadata.keys.is_some(), signs);
    assert!(signs || !metadata.assertion_audience_endpoint);
    assert_eq!(metadata.has_secret(), !public && !signs);
    let code = metadata.grant_types.contains(&GrantType::AuthorizationCode);
    assert!(!code || !metadata.redirect_uris.is_empty());

    let uris = [&metadata.redirect_uris, &metadata.post_logout_redirect_uris];
    for list in uris {
        assert!(list.len() <= 50);
        assert!(list.iter().all(|uri| RedirectUri::try_from(uri.to_string()).as_ref() == Ok(uri)));
    }
    assert!(metadata.audiences.len() <= 50);
    assert!(metadata.audiences.iter().all(|aud| aud.bytes().all(|b| b.is_ascii_graphic())));

    let name = &metadata.client_name;
    assert!((1..=100).contains(&name.chars().count()) && name.trim() == name);
    // Unicode's Bidi_Control, and what takes no room: one name must not look like another's.
    let unseen = |c: char| {
        let bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}');
        let isolate = matches!(c, '\u{2066}'..='\u{2069}');
        c.is_control() || bidi || isolate || matches!(c, '\u{200b}'..='\u{200d}' | '\u{feff}')
    };
    assert!(!name.chars().any(unseen), "{name:?}");

    assert!(metadata.refresh_retry_s <= 30);
    assert!(metadata.access_token_lifetime.is_none_or(|s| (30..=86_400).contains(&s)));
    assert!(metadata.refresh_token_lifetime.is_none_or(|s| (60..=31_536_000).contains(&s)));
}
