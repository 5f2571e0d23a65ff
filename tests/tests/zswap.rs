//! zswap in front of a swap device: the user is told, and the report does not say that nothing was swapped.

use std::fs;

use compcache_tests::{Bed, MIB, Outcome, binary, needs};

const ENABLED: &str = "/sys/module/zswap/parameters/enabled";
const WARNING: &str = "warning: zswap is on";

/// Has zswap switched on for as long as this lives.
struct Zswap {
    before: Vec<u8>,
}

impl Zswap {
    fn on() -> Option<Zswap> {
        if !needs::file(ENABLED) {
            return None;
        }
        let before = fs::read(ENABLED).expect("the switch");
        let zswap = Zswap { before };
        // A kernel without its allocator or its compressor refuses.
        let switched_on = fs::write(ENABLED, "Y").is_ok();
        needs::need(switched_on, "needs a zswap that can be switched on").then_some(zswap)
    }
}

impl Drop for Zswap {
    fn drop(&mut self) {
        if let Err(error) = fs::write(ENABLED, &self.before) {
            eprintln!("{ENABLED} stays changed: {error}");
        }
    }
}

#[test]
fn zswap_in_front() {
    let Some(bed) = Bed::with_devices(2) else {
        return;
    };
    let status = || bed.compcache(&["status"]).success();
    let swap_on = || bed.compcache(&["swap", "on", "--driver", "user", "--size", "64M"]);
    assert!(!status().contains(WARNING), "{}", status());
    let Some(zswap) = Zswap::on() else { return };
    assert!(
        !status().contains(WARNING),
        "without a device it is nobody's matter"
    );
    let out = swap_on();
    assert_eq!(out.stderr.matches(WARNING).count(), 1, "{out}");
    assert_eq!(status().matches(WARNING).count(), 1, "{}", status());
    bed.compcache(&["swap", "off"]).success();

    let size = (96 * MIB).to_string();
    let hog = binary("compcache");
    let mut run = bed.command("compcache");
    run.args(["run", "--memory", "48M", "--"]).arg(hog);
    let out = Outcome::of(run.args(["hog", "--size", &size]));
    assert_eq!(out.stderr.matches(WARNING).count(), 1, "{out}");
    assert!(out.stderr.contains("of 48M used and "), "{out}");
    assert!(!out.stderr.contains("nothing was swapped"), "{out}");
    out.success();

    drop(zswap);
    let out = swap_on();
    assert!(!out.stderr.contains(WARNING), "{out}");
    assert!(!status().contains(WARNING), "{}", status());
    bed.compcache(&["swap", "off"]).success();
}
