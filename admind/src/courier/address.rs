//! Which addresses belong to strangers on the Internet, and which to somebody's own network (W137).
//!
//! A name that an application registered may resolve to anything, so what it resolves to is judged, after
//! resolution and before the connection, which then goes to exactly the address that was judged.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// IANA's registry of special-purpose IPv4 addresses, with multicast and what is reserved.
const SPECIAL_V4: [Block; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// Of IPv6 only this is handed out for global unicast (RFC 4291 §2.4). Everything else is special by
/// itself: `fc00::/7`, `fe80::/10`, `fec0::/10`, `ff00::/8`, `100::/64`, `5f00::/16`, `64:ff9b:1::/48`.
const GLOBAL_V6: Block = v6(0x2000 << 112, 3);

/// What is special inside of it: protocol assignments with Teredo, and two for documentation.
const SPECIAL_V6: [Block; 3] =
    [v6(0x2001 << 112, 23), v6(0x2001_0db8 << 96, 32), v6(0x3fff << 112, 20)];

/// IPv6 addresses that stand for an IPv4 address, and in which segment that one begins: mapped, compatible
/// (`::` and `::1` among them), the well-known prefix of NAT64, 6to4.
const EMBEDDED: [(Block, usize); 4] = [
    (v6(0xffff << 32, 96), 6),
    (v6(0, 96), 6),
    (v6(0x0064_ff9b << 96, 96), 6),
    (v6(0x2002 << 112, 16), 1),
];

/// Whether an address can be a stranger's. What embeds an IPv4 address is judged by that one: a translator
/// on the way would deliver it there.
pub(super) fn is_public(address: IpAddr) -> bool {
    let IpAddr::V6(six) = address else {
        return !SPECIAL_V4.iter().any(|block| block.contains(address));
    };
    if let Some((_, at)) = EMBEDDED.iter().find(|(block, _)| block.contains_exactly(address)) {
        return embedded(six, *at).is_some_and(|inner| is_public(IpAddr::V4(inner)));
    }
    GLOBAL_V6.contains(address) && !SPECIAL_V6.iter().any(|block| block.contains(address))
}

fn embedded(address: Ipv6Addr, at: usize) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let (high, low) = (segments.get(at)?, segments.get(at + 1)?);
    Some(Ipv4Addr::from_bits(u32::from(*high) << 16 | u32::from(*low)))
}

/// A block of addresses, as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    first: IpAddr,
    bits: u8,
}

const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Block {
    Block { first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
}

const fn v6(first: u128, bits: u8) -> Block {
    Block { first: IpAddr::V6(Ipv6Addr::from_bits(first)), bits }
}

impl Block {
    /// Whether it holds an address; `::ffff:10.0.0.1` is in `10.0.0.0/8`, where the system would connect to.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.contains_exactly(address.to_canonical())
    }

    fn contains_exactly(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Text that is no block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoBlock;

impl fmt::Display for NoBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a block of addresses such as 10.0.0.0/8 or fd00::/8")
    }
}

impl FromStr for Block {
    type Err = NoBlock;

    /// The first address must be the first: `10.0.0.1/8` may mean one address or sixteen million.
    fn from_str(text: &str) -> Result<Self, NoBlock> {
        let (first, bits) = text.split_once('/').ok_or(NoBlock)?;
        let first: IpAddr = first.parse().map_err(|_| NoBlock)?;
        let plain = (1..=3).contains(&bits.len()) && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = bits.parse().ok().filter(|_| plain).ok_or(NoBlock)?;
        let within = match first {
            IpAddr::V4(first) => {
                bits <= 32 && first.to_bits().checked_shl(bits.into()).unwrap_or(0) == 0
            }
            IpAddr::V6(first) => {
                bits <= 128 && first.to_bits().checked_shl(bits.into()).unwrap_or(0) == 0
            }
        };
        // A block of mapped addresses would never be met: addresses are compared as what they stand for.
        if within && first.to_canonical() == first {
            Ok(Self { first, bits })
        } else {
            Err(NoBlock)
        }
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
