//! The closed set of audit events. An event is written in the transaction of the act it tells of; a gate
//! that is one statement carries its audit row inside that statement.

/// Declares the events and their stored words.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Event { $($(#[$doc])* $name,)* }

        impl Event {
            /// The word stored in `audit_events.type`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Every event, for documentation and checks.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

events! {
    /// A person proved who they are.
    SignedIn = "user.signed_in",
    /// A password was wrong, or the account unknown or disabled.
    SignInFailed = "user.sign_in_failed",
    /// A person ended their session.
    SignedOut = "user.signed_out",
    /// A one-time link set a password.
    Enrolled = "user.enrolled",
    /// A person ended a session of theirs in another browser.
    SessionEnded = "session.ended",
    /// A person replaced their password by another; nothing that the old one began is alive.
    PasswordChanged = "user.password_changed",
    /// Somebody asked for a link to a new password; without an actor, no account could be sent one.
    ResetAsked = "user.reset_asked",
    /// A person agreed to scopes.
    ConsentGranted = "consent.granted",
    /// A person said no.
    ConsentDenied = "consent.denied",
    /// A person took back what an application may do.
    ConsentWithdrawn = "consent.withdrawn",
    /// A tenant asked an existing account to join.
    MembershipInvited = "membership.invited",
    /// The person said yes.
    MembershipAccepted = "membership.accepted",
    /// The person said no.
    MembershipDeclined = "membership.declined",
    /// An accepted invitation became a membership.
    MembershipJoined = "membership.joined",
    /// A code was issued.
    CodeIssued = "code.issued",
    /// A code was presented wrongly and is spent.
    CodeBurned = "code.burned",
    /// A code was presented again; everything issued from it is dead.
    CodeReused = "code.reused",
    /// Tokens were issued for a code.
    TokensIssued = "tokens.issued",
    /// Tokens were issued for a refresh token.
    TokensRefreshed = "tokens.refreshed",
    /// A client got a token for itself.
    MachineGranted = "tokens.granted",
    /// A client exchanged a token for another.
    TokensExchanged = "tokens.exchanged",
    /// A device, or an application on behalf of a person, began to wait for an approval.
    RequestBegun = "request.begun",
    /// A person let a device or application in that had asked from elsewhere.
    RequestApproved = "request.approved",
    /// A person refused one.
    RequestDeclined = "request.declined",
    /// A grant was no longer alive when its artefact was presented.
    GrantDead = "grant.dead",
    /// A spent refresh token was presented; its family is dead.
    RefreshReused = "refresh.reused",
    /// A refresh token was presented by another client; its family is dead.
    RefreshStolen = "refresh.stolen",
    /// A client gave a token back.
    TokenRevoked = "token.revoked",
    /// The first administrator was made.
    Bootstrapped = "platform.bootstrapped",
    /// An issuer was recorded.
    IssuerCreated = "issuer.created",
    /// A key was made in the token.
    KeyStaged = "key.staged",
    /// A key began to sign.
    KeyActivated = "key.activated",
    /// A key ended signing.
    KeyRetired = "key.retired",
    /// A key left the token.
    KeyDestroyed = "key.destroyed",
    /// A row in `signing_keys` was not written by keyd.
    KeyPlanted = "key.planted",
    /// `opentrusty seed` wrote declared objects.
    Seeded = "platform.seeded",
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Event;

    #[test]
    fn no_two_events_share_a_word() {
        let words: HashSet<_> = Event::ALL.iter().map(|event| event.as_str()).collect();
        assert_eq!(words.len(), Event::ALL.len());
    }
}
