//! Where a sign-in leads when no application waits for it: one of a closed list of our own pages, named by a
//! word. No parameter ever holds a URL (W117).

use std::fmt;

use oauth::deferred::UserCode;
use oauth::form::Form;

/// A page of ours that asks for a sign-in first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landing {
    /// What a person manages.
    Account,
    /// Where a device's code is typed, with the code if it is known.
    Device(Option<UserCode>),
    /// What applications ask of a person who is elsewhere.
    Ciba,
}

impl Landing {
    /// From the parameters `to` and `user_code`; anything else than a known word leads nowhere.
    pub(crate) fn of(form: &Form) -> Option<Self> {
        match form.one("to").ok().flatten()? {
            "account" => Some(Self::Account),
            "device" => {
                let code = form.one("user_code").ok().flatten();
                Some(Self::Device(code.and_then(UserCode::parse)))
            }
            "ciba" => Some(Self::Ciba),
            _ => None,
        }
    }

    /// The code that goes along.
    pub(crate) fn user_code(self) -> Option<UserCode> {
        match self {
            Self::Account | Self::Ciba => None,
            Self::Device(code) => code,
        }
    }

    /// Its path beneath an issuer.
    pub(crate) fn path(self) -> String {
        match self {
            Self::Account => "/account".to_owned(),
            Self::Ciba => "/ciba".to_owned(),
            Self::Device(None) => "/device".to_owned(),
            Self::Device(Some(code)) => format!("/device?user_code={code}"),
        }
    }

    /// The path of the sign-in that leads to it.
    pub(crate) fn sign_in(self) -> String {
        match self.user_code() {
            None => format!("/login?to={self}"),
            Some(code) => format!("/login?to={self}&user_code={code}"),
        }
    }
}

impl fmt::Display for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Device(_) => "device",
            Self::Ciba => "ciba",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landing(query: &str) -> Option<String> {
        Landing::of(&Form::parse(query.as_bytes()).unwrap()).map(Landing::path)
    }

    #[test]
    fn w117_only_known_words_lead_anywhere() {
        assert_eq!(landing("to=account").as_deref(), Some("/account"));
        assert_eq!(landing("to=ciba&user_code=x").as_deref(), Some("/ciba"));
        assert_eq!(landing("to=device").as_deref(), Some("/device"));
        let with_code = landing("to=device&user_code=bcdf+ghjk");
        assert_eq!(with_code.as_deref(), Some("/device?user_code=BCDF-GHJK"));
        for code in ["//evil.example", "BCDF-GHJKL", "A", "BCDF%26GHJK"] {
            let path = landing(&format!("to=device&user_code={code}"));
            assert_eq!(path.as_deref(), Some("/device"), "{code}");
        }
        for query in
            ["", "to=", "to=//evil.example", "to=Device", "to=device/", "to=account&to=account"]
        {
            assert_eq!(landing(query), None, "{query}");
        }
    }
}
