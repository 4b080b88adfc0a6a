//! F22: a certificate is replaced under load; nobody is refused, nobody is cut off, nonsense changes nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use e2e::authority::{Certificates, shown};
use e2e::bench::{bench, until};
use e2e::{Connection, Options, Stand};

use crate::beside_others;

/// A daemon looks at its certificate every five seconds.
const RELOAD: Duration = Duration::from_secs(30);

fn ask(connection: &mut Connection, port: u16) -> u16 {
    let request = format!("GET /healthz HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
    connection.send(request.as_bytes()).unwrap();
    connection.receive(false).unwrap().status
}

#[test]
fn f22_a_new_certificate_is_served_without_a_failed_handshake_or_a_cut_connection() {
    let _cluster = beside_others();
    let tls = Certificates::copied();
    let mut stand = Stand::start(&Options { set: tls.settings(), ..Options::default() });
    let port = stand.node(0).port();
    let old = shown(port).unwrap();
    let mut kept = Connection::open(([127, 0, 0, 1], port).into(), bench().trust()).unwrap();
    assert_eq!(ask(&mut kept, port), 200);

    let (over, shaken) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        // Whatever happens below, the load must end with it.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let end = End(&over);
        let load = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                shown(port).expect("every handshake succeeds");
                shaken.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Half a pair, then half a file: the old pair stays.
        let leaf = tls.new_leaf("authd");
        tls.put("authd", "certificate.pem", &leaf.folder.join("certificate.pem"));
        let complaints = |stand: &mut Stand| {
            stand.node(0).authd.log().matches("keeping the old certificate").count()
        };
        until("authd complains of half a pair", RELOAD, || {
            (complaints(&mut stand) == 1).then_some(())
        });
        assert_eq!(shown(port).unwrap(), old);
        let broken = leaf.folder.join("broken");
        let half = std::fs::read(leaf.folder.join("key.pem")).unwrap();
        std::fs::write(&broken, half.split_at(half.len() / 2).0).unwrap();
        tls.put("authd", "key.pem", &broken);
        until("authd complains of half a file", RELOAD, || {
            (complaints(&mut stand) == 2).then_some(())
        });
        assert_eq!(shown(port).unwrap(), old);
        // The other half: the new pair is served.
        tls.put("authd", "key.pem", &leaf.folder.join("key.pem"));
        until("the new certificate is served", RELOAD, || {
            (shown(port).unwrap() != old).then_some(())
        });
        until("enough hands were shaken", RELOAD, || {
            (shaken.load(Ordering::Relaxed) > 100).then_some(())
        });
        drop(end);
        load.join().unwrap();
    });
    assert_eq!(ask(&mut kept, port), 200, "the connection from before goes on");
}
