//! Who may ask for what: one table, in one place. A new request does not compile until it is decided.

use wire::{DeriveLabel, Request};

/// Who is at the other end, by the listener that took the connection and the uid that the kernel vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The public identity provider, on the `sign` socket.
    Authd,
    /// The management API, on the `manage` socket.
    Admind,
}

impl Peer {
    /// For log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authd => "authd",
            Self::Admind => "admind",
        }
    }
}

/// Whether `peer` may send `request` at all. What the request then says is judged by `policy`.
pub const fn permitted(peer: Peer, request: &Request) -> bool {
    match (peer, request) {
        (_, Request::PublicKeys | Request::Load(_) | Request::Health)
        | (Peer::Authd, Request::Sign(_) | Request::Derive(DeriveLabel::Csrf))
        | (
            Peer::Admind,
            Request::Generate { .. }
            | Request::Activate { .. }
            | Request::Retire(_)
            | Request::Destroy(_)
            | Request::SealAudit(_)
            | Request::Status
            | Request::Derive(DeriveLabel::Cursor),
        ) => true,
        (
            Peer::Authd,
            Request::Generate { .. }
            | Request::Activate { .. }
            | Request::Retire(_)
            | Request::Destroy(_)
            | Request::SealAudit(_)
            | Request::Status
            | Request::Derive(DeriveLabel::Cursor),
        )
        | (Peer::Admind, Request::Sign(_) | Request::Derive(DeriveLabel::Csrf)) => false,
    }
}

#[cfg(test)]
mod tests {
    use wire::{Algorithm, AuditRoot, Class, Kid, Purpose, Sign};

    use super::*;

    /// Every request there is, with whether authd and admind may send it.
    fn table() -> Vec<(Request, bool, bool)> {
        let kid = Kid([1; 16]);
        vec![
            (Request::Sign(Sign { kid, purpose: Purpose::IdToken, claims: vec![] }), true, false),
            (Request::PublicKeys, true, true),
            (Request::Load(vec![]), true, true),
            (Request::Derive(DeriveLabel::Csrf), true, false),
            (Request::Derive(DeriveLabel::Cursor), false, true),
            (Request::Health, true, true),
            (
                Request::Generate {
                    issuer: String::new(),
                    algorithm: Algorithm::Es256,
                    class: Class::Token,
                },
                false,
                true,
            ),
            (Request::Activate { kid, first: false }, false, true),
            (Request::Activate { kid, first: true }, false, true),
            (Request::Retire(kid), false, true),
            (Request::Destroy(kid), false, true),
            (Request::SealAudit(AuditRoot([0; 32])), false, true),
            (Request::Status, false, true),
        ]
    }

    /// Fails to compile when a variant is added, so that the table is extended with it.
    fn position(request: &Request) -> usize {
        match request {
            Request::Sign(_) => 0,
            Request::PublicKeys => 1,
            Request::Load(_) => 2,
            Request::Derive(_) => 3,
            Request::Health => 4,
            Request::Generate { .. } => 5,
            Request::Activate { .. } => 6,
            Request::Retire(_) => 7,
            Request::Destroy(_) => 8,
            Request::SealAudit(_) => 9,
            Request::Status => 10,
        }
    }

    #[test]
    fn w176_the_table_is_exactly_this() {
        let mut seen = [false; 11];
        for (request, authd, admind) in table() {
            seen[position(&request)] = true;
            assert_eq!(permitted(Peer::Authd, &request), authd, "authd {request:?}");
            assert_eq!(permitted(Peer::Admind, &request), admind, "admind {request:?}");
        }
        assert!(seen.iter().all(|covered| *covered));
    }
}
