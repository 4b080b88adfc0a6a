//! No descriptor left to accept with. In a process of its own, which has few.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::support::{PATIENCE, Stand};

const MARKER: &str = "WEB_TEST_FEW_DESCRIPTORS";
const NAME: &str = "descriptors::f25_without_descriptors_accepting_waits_and_does_not_spin";

#[test]
fn f25_without_descriptors_accepting_waits_and_does_not_spin() {
    if std::env::var_os(MARKER).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.unwrap().block_on(exhausted());
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 128 && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(MARKER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

async fn exhausted() {
    let stand = Stand::start("few");
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    // The last descriptor is the client's; the kernel queues the connection, nobody can take it.
    drop(taken.pop());
    let queued = TcpStream::connect(stand.address).await.unwrap();
    let before = processor_ticks(&mut taken);
    let half_a_second = tokio::time::sleep(Duration::from_millis(500));
    half_a_second.await;
    let ticks = processor_ticks(&mut taken) - before;
    assert!(ticks <= 10, "{ticks} ticks of 10 ms in 500 ms");
    drop((taken, queued));
    let answered = async { stand.http_1().await.get("/a").await.unwrap().status };
    assert_eq!(tokio::time::timeout(PATIENCE, answered).await.unwrap(), 200);
    stand.end().await;
}

/// Processor time of this process, which takes a descriptor to read: one is given up for it.
fn processor_ticks(taken: &mut Vec<File>) -> u64 {
    drop(taken.pop());
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    taken.push(File::open("/dev/null").unwrap());
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
