//! Byte for byte what `tc` of iproute2 6.1.0 sends for the command above each
//! message, seen by strace on a little-endian machine; without the number of
//! the message, which is 0 here.

use super::*;

const LOOPBACK: u32 = 1;
/// Number, sender, family and interface.
const HEAD: &str = "00000000 00000000 00000000 01000000";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Compares in a host's own byte order, which `tc` used as well.
fn same(request: &Request, tc: &str) {
    if cfg!(target_endian = "little") {
        let tc: String = tc.split_whitespace().collect();
        assert_eq!(hex(&request.bytes), tc);
    }
}

#[test]
fn the_root_is_made_and_taken_away() {
    // tc qdisc add dev lo root handle 1: htb
    let tc = format!(
        "48000000 2400 0506 {HEAD} 00000100 ffffffff 00000000 0800010068746200 \
         1c000200 18000200 03000000 0a000000 00000000 00000000 00000000"
    );
    same(&add_root(LOOPBACK), &tc);
    // tc qdisc del dev lo root
    let tc = format!("24000000 2500 0500 {HEAD} 00000000 ffffffff 00000000");
    same(&delete_root(LOOPBACK), &tc);
}

#[test]
fn a_class_is_made_and_taken_away() {
    // tc class add dev lo parent 1: classid 1:2 htb rate 34359738360bit quantum 60000 burst 1m
    // cburst 1m; without the two tables of times behind it (TCA_HTB_RTAB, _CTAB), which no kernel
    // since 3.8 reads, and so with other lengths.
    let tc = format!(
        "60000000 2800 0506 {HEAD} 02000100 00000100 00000000 0800010068746200 \
         34000200 30000100 03010000ffff0000ffffffff 03010000ffff0000ffffffff \
         e40e0000 e40e0000 60ea0000 00000000 00000000"
    );
    same(&add_class(LOOPBACK, 2), &tc);
    // tc class del dev lo classid 1:2
    let tc = format!("24000000 2900 0500 {HEAD} 02000100 00000000 00000000");
    same(&delete_class(LOOPBACK, 2), &tc);
}

const NETEM: &str = "00000200 02000100 00000000 0a0001006e6574656d000000";

/// `tc qdisc add dev lo parent 1:2 handle 2: netem` and what is said there.
fn same_netem(traffic: Traffic, length: u8, tc: &str) {
    let tc = format!("{length:02x}000000 2400 0506 {HEAD} {NETEM} {tc}");
    same(&add_netem(LOOPBACK, 2, &traffic), &tc);
}

#[test]
fn each_word_of_netem_is_said_as_tc_says_it() {
    const MS: Duration = Duration::from_millis(1);
    let none = Traffic::default();
    // limit 20000 delay 50ms 10ms
    same_netem(
        Traffic {
            delay: MS * 50,
            jitter: MS * 10,
            ..none
        },
        0x4c,
        "1c000200 c2eb0b00 204e0000 00000000 00000000 00000000 5a620200",
    );
    // limit 20000 loss 20%
    same_netem(
        Traffic {
            loss: Share::of(0.2),
            ..none
        },
        0x4c,
        "1c000200 00000000 204e0000 33333333 00000000 00000000 00000000",
    );
    // limit 20000 duplicate 5%
    same_netem(
        Traffic {
            duplicate: Share::of(0.05),
            ..none
        },
        0x4c,
        "1c000200 00000000 204e0000 00000000 00000000 cdcccc0c 00000000",
    );
    // limit 20000 corrupt 99%
    same_netem(
        Traffic {
            corrupt: Share::of(0.99),
            ..none
        },
        0x58,
        "28000200 00000000 204e0000 00000000 00000000 00000000 00000000 0c000400 d6a370fd 00000000",
    );
    // limit 20000 delay 100ms reorder 25%
    same_netem(
        Traffic {
            delay: MS * 100,
            reorder: Share::of(0.25),
            ..none
        },
        0x58,
        "28000200 84d71700 204e0000 00000000 01000000 00000000 00000000 0c000300 00000040 00000000",
    );
    // limit 83 rate 1mbit
    same_netem(
        Traffic {
            rate: Some(1_000_000),
            ..none
        },
        0x60,
        "30000200 00000000 53000000 00000000 00000000 00000000 00000000 \
         14000600 48e80100 00000000 00000000 00000000",
    );
    // limit 20000 rate 40gbit
    same_netem(
        Traffic {
            rate: Some(40_000_000_000),
            ..none
        },
        0x6c,
        "3c000200 00000000 204e0000 00000000 00000000 00000000 00000000 \
         0c000800 00f2052a01000000 14000600 ffffffff 00000000 00000000 00000000",
    );
    // limit 57 delay 5s 2s loss 1% duplicate 2% corrupt 3% rate 64kbit
    same_netem(
        Traffic {
            delay: MS * 5000,
            jitter: MS * 2000,
            loss: Share::of(0.01),
            duplicate: Share::of(0.02),
            corrupt: Share::of(0.03),
            rate: Some(64_000),
            ..none
        },
        0x6c,
        "3c000200 c817a804 39000000 295c8f02 00000000 52b81e05 50d6dc01 \
         0c000400 7b14ae07 00000000 14000600 401f0000 00000000 00000000 00000000",
    );
}
