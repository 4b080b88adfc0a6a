//! What systemd hands to a service and wants to hear from it: inherited sockets, readiness, the
//! watchdog. Without systemd each of these does nothing.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::environment;

/// More sockets than a unit of ours has.
const SOCKETS_MAX: usize = 16;

struct Inherited {
    sockets: ListenFd,
    places: BTreeMap<String, usize>,
}

/// The descriptors are owned here, once per process: a second reader of the environment would
/// close what the first one uses.
static INHERITED: OnceLock<Result<Mutex<Inherited>, String>> = OnceLock::new();

/// The listening Unix socket that systemd passed under this `FileDescriptorName=`; `None` if
/// there is none, or it was taken before. Call it before threads exist.
pub fn inherited_unix(name: &str) -> io::Result<Option<UnixListener>> {
    take(name, ListenFd::take_unix_listener)
}

/// As [`inherited_unix`], for a TCP listener.
pub fn inherited_tcp(name: &str) -> io::Result<Option<TcpListener>> {
    take(name, ListenFd::take_tcp_listener)
}

fn take<L>(
    name: &str,
    pick: impl FnOnce(&mut ListenFd, usize) -> io::Result<Option<L>>,
) -> io::Result<Option<L>> {
    let inherited = INHERITED.get_or_init(|| collect().map(Mutex::new));
    let inherited = inherited.as_ref().map_err(|problem| io::Error::other(problem.clone()))?;
    let mut inherited = inherited.lock().unwrap_or_else(PoisonError::into_inner);
    match inherited.places.get(name).copied() {
        Some(place) => pick(&mut inherited.sockets, place),
        None => Ok(None),
    }
}

fn collect() -> Result<Inherited, String> {
    let none = Inherited { sockets: ListenFd::empty(), places: BTreeMap::new() };
    let ours = environment::lenient("LISTEN_PID").and_then(|pid| pid.parse().ok());
    if ours != Some(std::process::id()) {
        return Ok(none);
    }
    let count: usize = match environment::lenient("LISTEN_FDS") {
        None => return Ok(none),
        Some(text) => text.parse().map_err(|_| "LISTEN_FDS is not a number".to_owned())?,
    };
    let names = environment::lenient("LISTEN_FDNAMES").unwrap_or_default();
    let places = places(&names, count)?;
    Ok(Inherited { sockets: ListenFd::from_env(), places })
}

fn places(names: &str, count: usize) -> Result<BTreeMap<String, usize>, String> {
    if count > SOCKETS_MAX {
        return Err(format!("{count} inherited sockets; at most {SOCKETS_MAX} make sense"));
    }
    let names: Vec<&str> = names.split(':').filter(|name| !name.is_empty()).collect();
    if names.len() != count {
        return Err(format!("{count} inherited sockets but {} names for them", names.len()));
    }
    let mut places = BTreeMap::new();
    for (place, name) in names.into_iter().enumerate() {
        if places.insert(name.to_owned(), place).is_some() {
            return Err(format!("two inherited sockets are both named {name:?}"));
        }
    }
    Ok(places)
}

/// Says that the service accepts work.
pub fn ready() {
    say(&[NotifyState::Ready]);
}

/// Says that the service is on its way out.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// A line for `systemctl status`.
pub fn status(text: &str) {
    say(&[NotifyState::Status(text)]);
}

/// How often at the latest systemd wants to hear [`alive`]; `None` if it does not watch. Send
/// it twice per period.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Feeds the watchdog. Call it from the loop whose life it is to vouch for.
pub fn alive() {
    say(&[NotifyState::Watchdog]);
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd did not take the notification");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_places() {
        let found = places("sign:manage", 2).unwrap();
        assert_eq!((found.get("sign"), found.get("manage")), (Some(&0), Some(&1)));
        assert_eq!(places("", 0).unwrap().len(), 0);
    }

    #[test]
    fn names_that_do_not_fit_the_sockets_are_refused() {
        for (names, count) in [("sign", 2), ("sign:manage", 1), ("", 1), ("a:a", 2), ("a", 17)] {
            assert!(places(names, count).is_err(), "{names:?} {count}");
        }
    }

    #[test]
    fn without_systemd_there_is_nothing_inherited() {
        assert!(inherited_unix("sign").unwrap().is_none());
        assert!(inherited_tcp("public").unwrap().is_none());
    }
}
