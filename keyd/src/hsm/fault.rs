//! What an error code of a module means for us.

use std::fmt;

use cryptoki::error::{Error, RvError};

/// An error by its names in the standard: the crate's own words fill half a page of log.
pub(super) struct Brief<'error>(pub(super) &'error Error);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error::Pkcs11(code, function) = self.0 else { return self.0.fmt(f) };
        write!(f, "C_{function:?}: {code:?}")
    }
}

/// How far to go back before trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The handle is stale: look the object up again.
    Handle,
    /// The session is gone: open another.
    Session,
    /// The token is gone, or our login is: initialize the module again.
    Token,
    /// It could be anything: ask whether the token is still there.
    Unclear,
}

pub(super) fn fault(error: &Error) -> Fault {
    let Error::Pkcs11(code, _) = error else { return Fault::Unclear };
    if matches!(
        code,
        RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid | RvError::KeyFunctionNotPermitted
    ) {
        return Fault::Handle;
    }
    if matches!(
        code,
        RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::OperationActive
            | RvError::OperationNotInitialized
    ) {
        return Fault::Session;
    }
    if matches!(
        code,
        RvError::DeviceError
            | RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid
            | RvError::CryptokiNotInitialized
            | RvError::UserNotLoggedIn
    ) {
        return Fault::Token;
    }
    Fault::Unclear
}

pub(super) fn is_logged_in(error: &Error) -> bool {
    matches!(error, Error::Pkcs11(RvError::UserAlreadyLoggedIn, _))
}

/// Whether trying again with the same PIN could lock the token.
pub(super) fn is_about_pin(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked
                | RvError::PinTooWeak
                | RvError::UserPinNotInitialized,
            _
        )
    )
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn w177_every_word_about_the_pin_ends_the_attempts() {
        for code in [RvError::PinIncorrect, RvError::PinLocked, RvError::PinExpired] {
            assert!(is_about_pin(&Error::Pkcs11(code, Function::Login)), "{code:?}");
        }
        assert!(!is_about_pin(&Error::Pkcs11(RvError::DeviceError, Function::Login)));
    }

    #[test]
    fn codes_are_sorted_by_how_far_to_go_back() {
        for (code, expected) in [
            (RvError::ObjectHandleInvalid, Fault::Handle),
            (RvError::SessionHandleInvalid, Fault::Session),
            (RvError::UserNotLoggedIn, Fault::Token),
            (RvError::DeviceRemoved, Fault::Token),
            (RvError::GeneralError, Fault::Unclear),
            (RvError::FunctionFailed, Fault::Unclear),
        ] {
            assert_eq!(fault(&Error::Pkcs11(code, Function::Sign)), expected, "{code:?}");
        }
        assert_eq!(fault(&Error::InvalidValue), Fault::Unclear);
    }
}
