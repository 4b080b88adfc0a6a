//! Strangers who try to sign in without pause, each time from another address, under another name: nothing that
//! counts attempts knows them again, and each password costs a hash.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::client::{Client, query};
use crate::html::field;

/// The flood.
#[derive(Debug)]
pub struct Flood {
    /// A client without cookies; the issuer must be reached on loopback.
    pub client: Client,
    /// Whose sign-in is flooded.
    pub issuer: String,
    /// Set to end it.
    pub over: AtomicBool,
    /// How many have come so far.
    comers: AtomicU32,
    /// What they were told, by status; 0 where nothing was said.
    answers: Mutex<BTreeMap<u16, usize>>,
}

impl Flood {
    /// A flood in which nobody has come yet.
    pub fn new(client: Client, issuer: String) -> Self {
        let (over, comers, answers) = (AtomicBool::new(false), AtomicU32::new(0), Mutex::default());
        Self { client, issuer, over, comers, answers }
    }

    /// One stranger after the other, until it is over.
    pub fn strangers(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let status = self.stranger(self.comers.fetch_add(1, Ordering::Relaxed));
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            *answers.entry(status.unwrap_or(0)).or_default() += 1;
        }
    }

    /// What the strangers were told so far, and how many of them.
    pub fn answers(&self) -> BTreeMap<u16, usize> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The answer to a password, or to the page before it when that was refused.
    fn stranger(&self, number: u32) -> Option<u16> {
        let url = format!("{}/login", self.issuer);
        let mut client = self.client.clone().at(loopback(number));
        let page = client.try_send("GET", &url, &[], b"").ok()?;
        if page.status != 200 {
            return Some(page.status);
        }
        let (csrf, name) = (field(&page, "csrf"), format!("stranger{number}@example.com"));
        let form = [("username", name.as_str()), ("password", "not the password"), ("csrf", &csrf)];
        let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let answer = client.try_send("POST", &url, &headers, query(&form).as_bytes()).ok()?;
        Some(answer.status)
    }
}

/// An address of 127.0.0.0/8 that nobody else has: 16 million of them, the first 256 left out.
fn loopback(number: u32) -> Ipv4Addr {
    let host = 256 + number % ((1 << 24) - 512);
    Ipv4Addr::from_bits(u32::from_be_bytes([127, 0, 0, 0]) | host)
}
