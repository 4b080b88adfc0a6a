//! A person's decision, and what a scope means in words.

use crate::form::Form;

/// What was pressed on a page that asks: consent, device and CIBA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// `decision=approve`.
    Approve,
    /// `decision=deny`.
    Deny,
}

impl Decision {
    /// Exactly one of the two words; anything else is no decision.
    pub fn parse(form: &Form) -> Option<Self> {
        match form.one("decision") {
            Ok(Some("approve")) => Some(Self::Approve),
            Ok(Some("deny")) => Some(Self::Deny),
            Ok(_) | Err(_) => None,
        }
    }
}

/// What a built-in scope releases, as a person reads it. Tenants describe their own.
pub fn built_in_description(scope: &str) -> Option<&'static str> {
    match scope {
        "openid" => Some("Confirm who you are"),
        "profile" => Some("Read your name, picture and language"),
        "email" => Some("Read your e-mail address"),
        "address" => Some("Read your postal address"),
        "phone" => Some("Read your phone number"),
        "offline_access" => Some("Keep access while you are away"),
        "opentrusty:ciba" => Some("Answer sign-in requests on your behalf"),
        "opentrusty:admin" => Some("Administer this installation on your behalf"),
        _ => None,
    }
}
