//! Binding statements as rows hold them.

use wire::{FRAME_MAX, KeyState, Request, Sealed, Statement, VERSION};

use crate::keyd_frame::stream;

/// A row is 32 bytes of MAC and a body, nothing lost or added, and keyd receives it as it is. A body that
/// reads as a statement describes a life that only goes forward.
pub fn statement(bytes: &[u8]) -> bool {
    let Some(sealed) = Sealed::from_bytes(bytes) else {
        assert!(bytes.len() < 32, "{} bytes hold a MAC", bytes.len());
        return false;
    };
    assert_eq!(sealed.to_bytes(), bytes);
    assert_eq!((&sealed.mac[..], &sealed.body[..]), bytes.split_at(32));
    if bytes.len() <= FRAME_MAX - 64 {
        let load = Request::Load(vec![sealed.clone(), sealed.clone()]);
        match wire::encode(1, &load, FRAME_MAX) {
            Ok(frame) => assert!(stream::<Request>(&frame, FRAME_MAX)),
            Err(_) => assert!(2 * bytes.len() > FRAME_MAX - 64, "{} bytes do not fit", bytes.len()),
        }
    }
    // keyd puts the number of the layout before the statement.
    let [1, encoded @ ..] = &sealed.body[..] else { return false };
    let mut frame = u32::try_from(encoded.len() + 9).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    frame.push(VERSION);
    frame.extend([0; 8]);
    frame.extend(encoded);
    if !stream::<Statement>(&frame, FRAME_MAX) {
        return false;
    }
    let decoder = wire::Decoder::new(FRAME_MAX);
    let Ok(Some((_, statement, _))) = decoder.next::<Statement>(&frame) else { return false };
    assert!(statement.kid.to_string().parse() == Ok(statement.kid));
    forward(&statement);
    true
}

fn forward(statement: &Statement) {
    let mut times = vec![0, 1, statement.staged_at, u64::MAX];
    for time in [statement.not_sign_before, statement.not_sign_after].into_iter().flatten() {
        times.extend([time.saturating_sub(1), time, time.saturating_add(1)]);
    }
    times.sort_unstable();
    let rank = |now: &u64| match statement.state(*now) {
        KeyState::Staged => 0,
        KeyState::Active => 1,
        KeyState::Retired => 2,
    };
    assert!(times.iter().map(rank).is_sorted(), "a key's life goes back: {statement:?}");
    for now in times {
        if statement.state(now) == KeyState::Active {
            assert!(statement.not_sign_before.is_some_and(|start| start <= now));
            assert!(statement.not_sign_after.is_none_or(|end| now < end));
        }
    }
}
