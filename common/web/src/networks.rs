//! Networks: those that an operator names, and the one that an address counts for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The network that limits count for: an IPv4 address by itself, however it is written; of IPv6 the
/// /64, which is what one subscriber has.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidNetwork {
    /// Before the slash is no IP address.
    Address,
    /// After the slash is no number of bits that such an address has.
    Bits,
    /// Bits are set behind the prefix: it is not clear what is meant.
    Host,
    /// IPv4 written as IPv6, which nothing would ever match.
    Mapped,
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "not an IP address, nor a network like 10.0.0.0/8",
            Self::Bits => "the number after the slash is not a length of such an address",
            Self::Host => "bits behind the prefix are not zero",
            Self::Mapped => "an IPv4 address is written as IPv6",
        })
    }
}

impl std::error::Error for InvalidNetwork {}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let first: IpAddr = address.parse().map_err(|_| InvalidNetwork::Address)?;
        if first != first.to_canonical() {
            return Err(InvalidNetwork::Mapped);
        }
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match length {
            None => most,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| InvalidNetwork::Bits)?
            }
            Some(_) => return Err(InvalidNetwork::Bits),
        };
        if bits > most {
            return Err(InvalidNetwork::Bits);
        }
        if prefix(first, bits) != first {
            return Err(InvalidNetwork::Host);
        }
        Ok(Self { first, bits })
    }
}

impl Network {
    /// Whether the address, however it is written, lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && prefix(address, self.bits) == self.first
    }
}

/// The address with everything behind its first `bits` set to zero.
fn prefix(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// A list of them; by default of none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Whether the address lies in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_counts_for_itself_or_for_its_64_bits() {
        for (address, counts_for) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            assert_eq!(network(ip(address)), ip(counts_for), "{address}");
        }
    }

    #[test]
    fn a_network_contains_what_begins_like_it() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "203.0.113.9"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = text.parse().unwrap();
            assert!(network.contains(ip(inside)), "{inside} in {text}");
            assert!(!network.contains(ip(outside)), "{outside} in {text}");
        }
        let networks: Networks = ["10.0.0.0/8", "::1"]
            .map(|text| text.parse::<Network>().unwrap())
            .into_iter()
            .collect();
        assert!(networks.contain(ip("::1")) && networks.contain(ip("10.1.1.1")));
        assert!(!networks.contain(ip("127.0.0.1")));
        assert!(!Networks::default().contain(ip("127.0.0.1")));
    }

    #[test]
    fn what_could_mean_two_things_is_no_network() {
        use InvalidNetwork::{Address, Bits, Host, Mapped};
        for (text, why) in [
            ("", Address),
            ("/8", Address),
            ("proxy.example", Address),
            ("10.0.0/8", Address),
            ("010.0.0.0/8", Address),
            ("fe80::1%eth0", Address),
            ("10.0.0.0/", Bits),
            ("10.0.0.0/33", Bits),
            ("10.0.0.0/+8", Bits),
            ("10.0.0.0/255.0.0.0", Bits),
            ("10.0.0.0/99999999999", Bits),
            ("2001:db8::/129", Bits),
            ("10.0.0.1/8", Host),
            ("2001:db8::1/32", Host),
            ("::ffff:10.0.0.0/104", Mapped),
        ] {
            assert_eq!(text.parse::<Network>(), Err(why), "{text:?}");
        }
    }
}
