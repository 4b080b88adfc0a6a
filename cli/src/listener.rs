//! Where a daemon can be asked on this machine: where systemd listens for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::appliance::Daemon;
use crate::program::Program;

/// The first address of a daemon's socket; `port` on loopback where systemd does not say.
pub(crate) fn of(daemon: Daemon, port: u16) -> SocketAddr {
    let said = daemon.sockets().first().and_then(|socket| {
        let show = Program::new("systemctl").args(["show", "--property=Listen", "--value", socket]);
        address(&show.answer().ok()?)
    });
    said.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into())
}

/// Lines such as `[::]:443 (Stream)`. Whoever listens everywhere listens on loopback.
fn address(listen: &str) -> Option<SocketAddr> {
    let (address, _) = listen.lines().next()?.split_once(' ')?;
    let address: SocketAddr = address.parse().ok()?;
    if address.ip().is_unspecified() {
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()));
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_asked_where_it_listens() {
        for (said, expected) in [
            ("[::]:443 (Stream)", Some("127.0.0.1:443")),
            ("0.0.0.0:8081 (Stream)", Some("127.0.0.1:8081")),
            ("192.0.2.7:8081 (Stream)\n[2001:db8::7]:8081 (Stream)", Some("192.0.2.7:8081")),
            ("[2001:db8::7]:8081 (Stream)", Some("[2001:db8::7]:8081")),
            ("/run/opentrusty/sign.sock (Stream)", None),
            ("", None),
        ] {
            assert_eq!(address(said), expected.map(|text| text.parse().unwrap()), "{said}");
        }
    }
}
