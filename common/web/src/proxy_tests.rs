use proptest::prelude::*;

use crate::proxy::{HEADER_MAX, Header, Malformed, read};

/// A header as the specification lays it out.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
}

fn v4(extensions: &[u8]) -> Vec<u8> {
    let addresses = [198, 51, 100, 7, 192, 0, 2, 1, 0x1f, 0x90, 0x01, 0xbb];
    header(0x21, 0x11, &[&addresses, extensions].concat())
}

fn v6(source: std::net::Ipv6Addr) -> Vec<u8> {
    header(0x21, 0x21, &[&source.octets()[..], &[0; 20]].concat())
}

fn whole(bytes: &[u8]) -> String {
    match read(bytes).unwrap() {
        Header::Whole { source, length } if length == bytes.len() => {
            source.map_or_else(|| "itself".to_owned(), |source| source.to_string())
        }
        other @ (Header::Whole { .. } | Header::Needs(_)) => {
            panic!("{other:?} of {} bytes", bytes.len())
        }
    }
}

#[test]
fn a_header_names_its_source() {
    assert_eq!(whole(&v4(&[])), "198.51.100.7");
    // AWS' endpoint id, padding, an empty value.
    assert_eq!(whole(&v4(&[0xEA, 0, 3, 1, b'v', b'p', 4, 0, 1, 0, 2, 0, 0])), "198.51.100.7");
    assert_eq!(whole(&v6("2001:db8::7".parse().unwrap())), "2001:db8::7");
    assert_eq!(whole(&v6("::ffff:198.51.100.7".parse().unwrap())), "198.51.100.7");
}

#[test]
fn a_proxy_that_connects_for_itself_may_say_anything_about_it() {
    assert_eq!(whole(&header(0x20, 0, &[])), "itself");
    assert_eq!(whole(&header(0x20, 0x31, &[1; 216])), "itself");
    assert_eq!(whole(&header(0x20, 0xff, &[9; HEADER_MAX - 16])), "itself");
}

#[test]
fn what_is_not_about_tcp_over_ip_is_refused() {
    for family in [0x00, 0x01, 0x10, 0x12, 0x20, 0x22, 0x30, 0x31, 0x32, 0x41, 0x13, 0xff] {
        assert_eq!(read(&header(0x21, family, &[0; 216])), Err(Malformed::Family), "{family:#x}");
    }
}

#[test]
fn another_version_or_command_is_refused() {
    for command in [0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xff] {
        let bytes = header(command, 0x11, &[0; 12]);
        assert_eq!(read(&bytes), Err(Malformed::Command), "{command:#x}");
        assert_eq!(read(&bytes[..13]), Err(Malformed::Command), "{command:#x}, as soon as seen");
    }
}

#[test]
fn text_tls_and_http_are_refused_at_their_first_bytes() {
    for bytes in [
        &b"PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n"[..],
        &[0x16, 3, 1],
        b"GET / HTTP/1.1",
        b"\r\n\r\nx",
    ] {
        assert_eq!(read(bytes), Err(Malformed::Signature), "{bytes:?}");
        assert!(bytes.len() < 5 || read(&bytes[..5]) == Err(Malformed::Signature), "{bytes:?}");
    }
}

#[test]
fn a_wrong_length_inside_is_refused() {
    for rest in [&[][..], &[0; 11], &[0; 13], &[0; 14], &[&[0; 12][..], &[4, 0, 1]].concat()] {
        assert_eq!(read(&header(0x21, 0x11, rest)), Err(Malformed::Shape), "{rest:?}");
    }
    assert_eq!(read(&header(0x21, 0x21, &[0; 35])), Err(Malformed::Shape));
    assert_eq!(read(&v4(&[4, 0xff, 0xff, 0])), Err(Malformed::Shape));
}

#[test]
fn a_longer_header_is_refused_before_it_is_read() {
    let extension = |length: usize| {
        let value = length - 3;
        [&[4][..], &u16::try_from(value).unwrap().to_be_bytes(), &vec![0; value]].concat()
    };
    assert_eq!(whole(&v4(&extension(HEADER_MAX - 28))), "198.51.100.7");
    let long = v4(&extension(HEADER_MAX - 27));
    assert_eq!(read(&long), Err(Malformed::Long));
    assert_eq!(read(&long[..16]), Err(Malformed::Long));
    assert_eq!(read(&header(0x20, 0, &vec![0; HEADER_MAX - 15])), Err(Malformed::Long));
}

proptest! {
    #[test]
    fn a_header_is_read_the_same_in_any_pieces(
        source in any::<[u8; 4]>(), value in prop::collection::vec(any::<u8>(), 0..200), follows in any::<[u8; 8]>(),
    ) {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        let rest = [&source[..], &[0; 8], &[0xE0], &length, &value].concat();
        let bytes = header(0x21, 0x11, &rest);
        let expected = Header::Whole { source: Some(source.into()), length: bytes.len() };
        for cut in 0..bytes.len() {
            let Ok(Header::Needs(needs)) = read(&bytes[..cut]) else { panic!("complete at {cut}") };
            // What is asked for is the header's: nothing of what follows is taken from TLS.
            prop_assert!(needs >= 1 && cut + needs <= bytes.len());
        }
        prop_assert_eq!(read(&bytes), Ok(expected));
        prop_assert_eq!(read(&[&bytes[..], &follows].concat()), Ok(expected));
    }

    #[test]
    fn no_bytes_are_too_strange(
        command in any::<u8>(), family in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..600),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        for bytes in [noise, header(command, family, &rest)] {
            match read(&bytes) {
                Ok(Header::Whole { length, .. }) => prop_assert!(length <= bytes.len() && length <= HEADER_MAX),
                Ok(Header::Needs(needs)) => prop_assert!(needs >= 1 && bytes.len() + needs <= HEADER_MAX),
                Err(_) => {}
            }
        }
    }
}
