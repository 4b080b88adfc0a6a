//! Certificates: for the right names, from a known authority, for long enough.

use std::path::Path;

use host::clock;

use super::finding::{Finding, fail, ok, warn};
use super::settings::Files;
use crate::appliance::{self, Daemon};
use crate::certificate::{Chain, Roots, Trust};
use crate::failure::Failure;

/// Time enough to renew by hand.
const WARN_DAYS: u64 = 21;

pub(super) fn check(files: &Files) -> Vec<Finding> {
    let planes = [(Daemon::Authd, files.issuer()), (Daemon::Admind, files.api())];
    planes.map(|(daemon, origin)| plane(daemon, origin, files.ca())).into()
}

fn plane(daemon: Daemon, origin: Option<&str>, ca: Option<&Path>) -> Finding {
    let name = format!("tls.{}", daemon.name());
    let (host, _) = appliance::authority(origin.unwrap_or_default());
    match trust(daemon, &host, ca) {
        Ok(trust) => judge(&name, &host, &trust, ca.is_some()),
        Err(failure) => fail(name, failure.to_string(), RENEW),
    }
}

fn trust(daemon: Daemon, host: &str, ca: Option<&Path>) -> Result<Trust, Failure> {
    let chain = Chain::load(&daemon.certificate())?;
    chain.matches(&daemon.key())?;
    Ok(chain.trust(host, &Roots::new(ca)?, clock::now_s()))
}

const RENEW: &str =
    "opentrusty setup --certificate FILE --key FILE, or --local-ca; it is read without a restart";

fn judge(name: &str, host: &str, trust: &Trust, from_file: bool) -> Finding {
    let authority = if from_file { "an authority in tls/ca.pem" } else { "a public authority" };
    match trust {
        Trust::Days(days) if *days < WARN_DAYS => {
            warn(name, format!("for {host}, {days} more days"), RENEW)
        }
        Trust::Days(days) => ok(name, format!("for {host}, {days} more days, by {authority}")),
        Trust::Expired => fail(name, "has expired", RENEW),
        Trust::NotYet => {
            fail(name, "is not valid yet", "set the clock, or install another certificate")
        }
        Trust::OtherHost => fail(name, format!("does not name {host}"), RENEW),
        Trust::UnknownAuthority => {
            let fix = "append the intermediate certificates, or name the authority: setup --certificate … --ca FILE";
            fail(name, "no known authority signed it", fix)
        }
        Trust::Unfit(problem) => fail(name, problem, RENEW),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_what_a_browser_would_say() {
        for (trust, expected) in [
            (Trust::Days(WARN_DAYS), Verdict::Ok),
            (Trust::Days(WARN_DAYS - 1), Verdict::Warn),
            (Trust::Days(0), Verdict::Warn),
            (Trust::Expired, Verdict::Fail),
            (Trust::NotYet, Verdict::Fail),
            (Trust::OtherHost, Verdict::Fail),
            (Trust::UnknownAuthority, Verdict::Fail),
            (Trust::Unfit("odd".into()), Verdict::Fail),
        ] {
            let finding = judge("tls.authd", "a.example", &trust, true);
            assert_eq!(finding.verdict, expected, "{trust:?}");
            assert_eq!(finding.fix.is_none(), expected == Verdict::Ok);
        }
    }
}
