//! Who is at the other end of a Unix socket.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::User;

/// The uid of the process that connected to, or for a client that made, this socket
/// (`SO_PEERCRED`). The kernel recorded it at `connect()` or `listen()`; it cannot be forged.
pub fn uid(socket: &impl AsFd) -> io::Result<u32> {
    // Through nix rather than rustix: a peer in another pid namespace has pid 0, which rustix's
    // type for the same answer cannot hold.
    Ok(getsockopt(socket, PeerCredentials)?.uid())
}

/// The uid of a user, given by name or number. Asks the system's user database: call it before
/// the sandbox closes `/etc`.
pub fn uid_of(user: &str) -> io::Result<u32> {
    if let Ok(number) = user.parse::<u32>() {
        return Ok(number);
    }
    User::from_name(user)?
        .map(|found| found.uid.as_raw())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no user named {user:?}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn w170_the_kernel_names_the_peer() {
        let (a, b) = UnixStream::pair().unwrap();
        let own = nix::unistd::getuid().as_raw();
        assert_eq!((uid(&a).unwrap(), uid(&b).unwrap()), (own, own));
    }

    #[test]
    fn a_user_is_a_name_or_a_number() {
        assert_eq!(uid_of("root").unwrap(), 0);
        assert_eq!(uid_of("4711").unwrap(), 4711);
        for bad in ["", "-1", "no-such-user-here", "4294967296"] {
            assert!(uid_of(bad).is_err(), "{bad:?}");
        }
    }
}
