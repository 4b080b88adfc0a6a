//! The local authority and the certificates that it signs.
//!
//! Whoever takes its key can speak for the hosts of this installation and for no others: its name constraints
//! are critical, and TLS libraries refuse what they do not cover.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Apple's platforms refuse longer ones.
const LEAF_DAYS: u64 = 397;
const CA_DAYS: u64 = 3650;
/// Clocks of browsers are not all right.
const EARLIER_S: u64 = 3600;
const DAY_S: u64 = 86_400;

/// A certificate and its key, PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// A new authority for these hosts.
pub(super) fn authority(hosts: &[String], now_s: u64) -> Result<Pair, Failure> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = subject();
    params.not_before = at(now_s.saturating_sub(EARLIER_S));
    params.not_after = at(now_s + CA_DAYS * DAY_S);
    params.serial_number = Some(serial()?);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: hosts.iter().map(|host| subtree(host)).collect(),
        excluded_subtrees: other_kinds(hosts),
    });
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Pair { certificate: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) })
}

/// A certificate for one host, signed by the authority with this key.
pub(super) fn leaf(host: &str, ca_key: &str, now_s: u64) -> Result<Pair, Failure> {
    let issuer = Issuer::new(subject(), KeyPair::from_pem(ca_key).map_err(failed)?);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(failed)?;
    params.distinguished_name = name(host);
    params.not_before = at(now_s.saturating_sub(EARLIER_S));
    params.not_after = at(now_s + LEAF_DAYS * DAY_S);
    params.serial_number = Some(serial()?);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(Pair { certificate: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) })
}

/// What every certificate of the authority says of it: the same each time, so that its key alone is kept.
fn subject() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("OpenTrusty local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn subtree(host: &str) -> GeneralSubtree {
    match host.parse::<IpAddr>() {
        Ok(address) => {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, bits))
        }
        Err(_) => GeneralSubtree::DnsName(host.to_owned()),
    }
}

/// RFC 5280 §4.2.1.10: a kind of name that no subtree speaks of is not restricted, so the kinds that no host
/// is of are excluded.
fn other_kinds(hosts: &[String]) -> Vec<GeneralSubtree> {
    let addresses: Vec<IpAddr> = hosts.iter().filter_map(|host| host.parse().ok()).collect();
    let mut excluded = Vec::new();
    if addresses.len() == hosts.len() {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    if !addresses.iter().any(IpAddr::is_ipv4) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)));
    }
    if !addresses.iter().any(IpAddr::is_ipv6) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)));
    }
    excluded
}

/// 126 random bits: positive and not all zero, as RFC 5280 §4.1.2.2 asks.
fn serial() -> Result<SerialNumber, Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::refused(format!("randomness: {error}")))?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn at(seconds: u64) -> time::OffsetDateTime {
    time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: rcgen::Error) -> Failure {
    Failure::refused(format!("certificates cannot be made: {error}"))
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
