use super::*;

const SPECIAL: &[&str] = &[
    // This host, private networks, shared address space.
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "10.0.0.0",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.0.0.0",
    "127.1.2.3",
    "127.255.255.255",
    // Link-local, where clouds keep their metadata.
    "169.254.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.255.255",
    "172.16.0.0",
    "172.17.0.1",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.77",
    "192.0.2.255",
    "192.88.99.0",
    "192.88.99.1",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.1.1",
    "192.168.255.255",
    "198.18.0.0",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.9",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.5",
    "203.0.113.255",
    "224.0.0.0",
    "224.0.0.1",
    "239.255.255.250",
    "239.255.255.255",
    "240.0.0.0",
    "240.0.0.1",
    "254.1.1.1",
    "255.255.255.254",
    "255.255.255.255",
    // IPv6: unspecified, loopback, and IPv4 in disguise.
    "::",
    "::1",
    "::2",
    "::7f00:1",
    "::10.0.0.1",
    "::127.0.0.1",
    "::169.254.169.254",
    "::192.168.0.1",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:172.16.0.1",
    "::ffff:192.168.0.1",
    "::ffff:100.64.0.1",
    "::ffff:224.0.0.1",
    "::ffff:a00:1",
    // IPv4-translated (RFC 2765), which no registry makes global.
    "::ffff:0:10.0.0.1",
    "::ffff:0:8.8.8.8",
    "::fffe:8.8.8.8",
    // NAT64: by what is inside, and the local-use prefix as a whole.
    "64:ff9b::0.0.0.0",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::192.168.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1:ffff::1",
    "64:ff9b::1:808:808",
    "64:ff9b:0:1::8.8.8.8",
    "64:ff9a::8.8.8.8",
    // Discard-only, dummy, protocol assignments, Teredo, benchmarking, ORCHID, DRIP, documentation.
    "100::",
    "100::1",
    "100::ffff:ffff:ffff:ffff",
    "100:0:0:1::1",
    "2001::",
    "2001::1",
    "2001:0:4136:e378::1",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:1ff:ffff::1",
    "2001:db8::",
    "2001:db8::1",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    // 6to4 by what is inside.
    "2002::",
    "2002:a00:1::",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:1::1",
    "2002:ac10:1::1",
    "2002:e000:1::1",
    "2002:c058:6301::1",
    "3fff::",
    "3fff::1",
    "3fff:fff:ffff::1",
    "5f00::",
    "5f00::1",
    "5f00:ffff::1",
    // Unique local, link-local, site-local, multicast, and what nobody has been given.
    "fc00::",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fdff:ffff::1",
    "fe80::",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff00::",
    "ff02::1",
    "ff02::fb",
    "ff0e::1",
    "ffff::1",
    "200::1",
    "400::1",
    "1000::1",
    "1fff:ffff::1",
    "4000::1",
    "8000::1",
    "e000::1",
];

const PUBLIC: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.1.255",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "::8.8.8.8",
    "::ffff:1.1.1.1",
    "64:ff9b::8.8.8.8",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2002:808:808::1",
    "2003::1",
    "2606:4700::1111",
    "2a00:1450::1",
    "3ffe:ffff::1",
    "3fff:1000::1",
];

#[test]
fn w137_special_addresses_are_not_public_and_their_neighbours_are() {
    assert!(SPECIAL.len() >= 120, "{}", SPECIAL.len());
    for text in SPECIAL {
        assert!(!is_public(text.parse().unwrap()), "{text} is special");
    }
    for text in PUBLIC {
        assert!(is_public(text.parse().unwrap()), "{text} is public");
    }
}

#[test]
fn w137_every_edge_of_every_special_ipv4_block_is_special() {
    for block in SPECIAL_V4 {
        let IpAddr::V4(first) = block.first else { panic!("{block:?}") };
        let last = Ipv4Addr::from_bits(first.to_bits() | u32::MAX >> block.bits);
        for edge in [first, last] {
            assert!(!is_public(edge.into()), "{edge}");
            assert!(!is_public(edge.to_ipv6_mapped().into()), "{edge} mapped");
            assert!(!is_public(edge.to_ipv6_compatible().into()), "{edge} compatible");
        }
    }
}

#[test]
fn a_block_holds_its_addresses_and_no_others() {
    let holds = |block: &str, address: &str| {
        block.parse::<Block>().unwrap().contains(address.parse().unwrap())
    };
    for (block, inside, outside) in [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("10.1.2.0/23", "10.1.3.255", "10.1.4.0"),
        ("127.0.0.1/32", "127.0.0.1", "127.0.0.2"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1"),
        ("fd00::/8", "fdff::1", "fc00::1"),
        ("::1/128", "::1", "::2"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("::/0", "ffff::1", "10.0.0.1"),
    ] {
        assert!(holds(block, inside), "{block} holds {inside}");
        assert!(!holds(block, outside), "{block} does not hold {outside}");
    }
}

#[test]
fn what_is_no_block_is_refused() {
    for text in [
        "",
        "/",
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "fd00::1/8",
        "fd00::/129",
        "::/-1",
        "10.0.0.0/+8",
        "10.0.0.0/0008",
        "localhost/8",
        "010.0.0.0/8",
        "10/8",
        "::ffff:10.0.0.0/104",
        "10.0.0.0/8 ",
        "10.0.0.0/8/8",
    ] {
        assert_eq!(text.parse::<Block>(), Err(NoBlock), "{text:?}");
    }
}
