//! The control protocol: every message survives the wire, and nothing else gets through.

use std::path::PathBuf;

use compcached::protocol::frame::{HEADER_LEN, MAX_PAYLOAD};
use compcached::protocol::{
    DaemonStatus, ErrorCode, KernelLease, MountSettings, MountSpec, ProtocolError, Refusal,
    Request, Response, decode, encode, read,
};
use compcached::size::Size;
use compcached::types::{BackingEncryption, Driver, MountStatus, ParamsUpdate, Writes};
use proptest::prelude::*;

fn params() -> impl Strategy<Value = ParamsUpdate> {
    (
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        any::<Option<String>>(),
        any::<Option<String>>(),
        any::<Option<String>>(),
        any::<Option<(u32, u32)>>(),
        prop::option::of(prop::sample::select(&BackingEncryption::ALL)),
    )
        .prop_map(
            |(disksize, memlimit, backing_swap, codec, recompress, cold, backing_encryption)| {
                ParamsUpdate {
                    disksize,
                    memlimit,
                    backing_swap: backing_swap.map(PathBuf::from),
                    backing_encryption,
                    codec,
                    recompress,
                    recompress_after: cold.map(|(after, _)| after),
                    recompress_cpu: cold.map(|(_, cpu)| cpu),
                }
            },
        )
}

fn size() -> impl Strategy<Value = Option<Size>> {
    prop_oneof![
        Just(None),
        (1..=1u64 << 44).prop_map(|bytes| Some(Size::Bytes(bytes))),
        (1..=1000u32).prop_map(|percent| Some(Size::Percent(percent))),
    ]
}

fn spec() -> impl Strategy<Value = MountSpec> {
    let paths = any::<(Option<String>, String)>();
    let sizes = (size(), size(), size());
    let switches = any::<(Option<bool>, Option<bool>, Option<bool>)>();
    let seconds = any::<(Option<u32>, Option<u32>, Option<u32>)>();
    let words = (
        any::<Option<String>>(),
        prop::option::of(prop::collection::vec("[a-z]{0,8}", 0..3)),
    );
    (paths, sizes, switches, seconds, words).prop_map(|(paths, sizes, switches, seconds, words)| {
        MountSpec {
            source: paths.0.map(PathBuf::from),
            mountpoint: paths.1.into(),
            settings: MountSettings {
                size: sizes.0,
                cache: sizes.1,
                codec: words.0,
                write_back: switches.0,
                dirty_after: seconds.0,
                dirty_limit: sizes.2,
                strict: switches.1,
                revalidate: seconds.1,
                give_up_after: seconds.2,
                allow_other: switches.2,
                flags: words.1,
            },
        }
    })
}

fn mount() -> impl Strategy<Value = MountStatus> {
    let writes = prop::sample::select(vec![Writes::Through, Writes::Back, Writes::Ram]);
    let other = any::<(String, String, u64, u64, u64)>();
    (writes, other).prop_map(|(write, m)| MountStatus {
        source: m.0,
        mountpoint: m.1,
        write,
        limit: m.2,
        pages: m.3,
        counts: compcache_engine::ccache::Counts {
            hits: m.4,
            ..Default::default()
        },
        ..MountStatus::default()
    })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        any::<Option<u32>>().prop_map(|device| Request::Status { device }),
        (any::<u32>(), params(), any::<bool>()).prop_map(|(device, params, init)| {
            Request::Configure {
                device,
                params,
                init,
            }
        }),
        any::<u32>().prop_map(|device| Request::Reset { device }),
        (any::<u32>(), params()).prop_map(|(device, params)| Request::Set { device, params }),
        (any::<Option<u32>>(), params(), any::<Option<i32>>()).prop_map(
            |(device, params, priority)| Request::SwapOn {
                device,
                params,
                priority
            }
        ),
        any::<Option<u32>>().prop_map(|device| Request::SwapOff { device }),
        (params(), any::<(Option<u64>, bool)>()).prop_map(|(params, (default_size, kernel))| {
            Request::Lease {
                params,
                default_size,
                driver: if kernel { Driver::Kernel } else { Driver::User },
            }
        }),
        Just(Request::Release),
        any::<bool>().prop_map(|force| Request::Shutdown { force }),
        spec().prop_map(|spec| Request::Mount { spec }),
        any::<(String, bool)>().prop_map(|(path, lazy)| Request::Unmount {
            mountpoint: path.into(),
            lazy,
        }),
        Just(Request::Mounts),
        any::<Option<String>>().prop_map(|path| Request::Sync {
            mountpoint: path.map(PathBuf::from),
        }),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let warnings = || prop::collection::vec(any::<String>(), 0..4);
    let codes = prop::sample::select(vec![
        ErrorCode::Eperm,
        ErrorCode::Enoent,
        ErrorCode::Eio,
        ErrorCode::Enodev,
        ErrorCode::Eexist,
        ErrorCode::Einval,
        ErrorCode::Ebusy,
        ErrorCode::Eintr,
        ErrorCode::Enomem,
        ErrorCode::Enospc,
        ErrorCode::Eproto,
        ErrorCode::Eshutdown,
    ]);
    prop_oneof![
        warnings().prop_map(|warnings| Response::Done { warnings }),
        (
            any::<(String, u32, Option<u32>, u32, u32, u64)>(),
            any::<Option<(u32, u32)>>(),
            warnings(),
        )
            .prop_map(|(d, lease, warnings)| {
                let (version, pid, mount_pid, num_devices, leases, uptime_seconds) = d;
                let daemon = DaemonStatus {
                    version,
                    pid,
                    mount_pid,
                    num_devices,
                    leases,
                    kernel_lease: lease.map(|(device, holders)| KernelLease { device, holders }),
                    uptime_seconds,
                    warnings,
                };
                Response::Status {
                    daemon,
                    devices: vec![],
                }
            }),
        (any::<u32>(), any::<String>(), any::<i32>(), warnings()).prop_map(
            |(device, node, priority, warnings)| Response::SwappedOn {
                device,
                node: PathBuf::from(node),
                priority,
                warnings,
            }
        ),
        (mount(), warnings()).prop_map(|(mount, warnings)| Response::Mounted { mount, warnings }),
        (prop::collection::vec(mount(), 0..3), any::<Option<u64>>()).prop_map(
            |(mounts, memory_limit)| Response::Mounts {
                mounts,
                memory_limit,
            }
        ),
        (codes, any::<String>())
            .prop_map(|(code, message)| Response::Error(Refusal::new(code, message))),
    ]
}

/// Length field of a frame.
fn set_length(frame: &mut [u8], length: u32) {
    frame[8..12].copy_from_slice(&length.to_le_bytes());
}

proptest! {
    #[test]
    fn requests_survive_the_wire(message in request(), tail in any::<Vec<u8>>()) {
        let mut bytes = encode(&message).unwrap();
        let length = bytes.len();
        bytes.extend_from_slice(&tail);
        prop_assert_eq!(decode::<Request>(&bytes).unwrap(), Some((message.clone(), length)));
        prop_assert_eq!(read::<Request>(&mut &bytes[..]).unwrap(), Some(message));
    }

    #[test]
    fn responses_survive_the_wire(message in response()) {
        let bytes = encode(&message).unwrap();
        prop_assert_eq!(decode::<Response>(&bytes).unwrap(), Some((message.clone(), bytes.len())));
        prop_assert_eq!(read::<Response>(&mut &bytes[..]).unwrap(), Some(message));
    }

    #[test]
    fn every_truncation_is_incomplete(message in request()) {
        let bytes = encode(&message).unwrap();
        for end in 0..bytes.len() {
            prop_assert!(decode::<Request>(&bytes[..end]).unwrap().is_none());
            match read::<Request>(&mut &bytes[..end]) {
                Ok(None) => prop_assert_eq!(end, 0),
                Err(ProtocolError::Truncated) => prop_assert_ne!(end, 0),
                other => prop_assert!(false, "{end}: {other:?}"),
            }
        }
    }

    /// A flipped bit gives an error, asks for more, or yields a message that is itself sound.
    #[test]
    fn every_bit_flip_is_contained(message in request()) {
        let bytes = encode(&message).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let decoded = decode::<Request>(&flipped);
            if bit / 8 < 8 {
                prop_assert!(decoded.is_err(), "bit {bit} of magic, version or kind");
            } else if let Ok(Some((other, length))) = decoded {
                prop_assert!(length <= flipped.len());
                prop_assert!(encode(&other).is_ok());
            }
        }
    }

    #[test]
    fn noise_never_panics(bytes in any::<Vec<u8>>()) {
        let _ = decode::<Request>(&bytes);
        let _ = decode::<Response>(&bytes);
    }

    #[test]
    fn noise_behind_a_good_header_never_panics(payload in any::<Vec<u8>>()) {
        let mut bytes = encode(&Request::Status { device: None }).unwrap();
        bytes.truncate(HEADER_LEN);
        set_length(&mut bytes, payload.len() as u32);
        bytes.extend_from_slice(&payload);
        prop_assert!(!matches!(decode::<Request>(&bytes), Ok(None)));
    }
}

#[test]
fn oversize_lengths_are_refused_before_they_are_read() {
    let mut bytes = encode(&Request::Status { device: None }).unwrap();
    for length in [MAX_PAYLOAD as u32 + 1, 1 << 31, u32::MAX] {
        set_length(&mut bytes, length);
        let refused = |r| matches!(r, Err(ProtocolError::TooLong(n)) if n == length as usize);
        assert!(refused(decode::<Request>(&bytes).map(drop)));
        assert!(refused(read::<Request>(&mut &bytes[..]).map(drop)));
    }
    set_length(&mut bytes, MAX_PAYLOAD as u32);
    assert!(matches!(decode::<Request>(&bytes), Ok(None)));
}

#[test]
fn oversize_messages_are_not_sent() {
    let params = ParamsUpdate {
        codec: Some("x".repeat(MAX_PAYLOAD)),
        ..Default::default()
    };
    let message = Request::Set { device: 0, params };
    assert!(matches!(encode(&message), Err(ProtocolError::TooLong(_))));
}

#[test]
fn another_version_is_named() {
    let mut bytes = encode(&Request::Status { device: None }).unwrap();
    bytes[4] = 2;
    let error = decode::<Request>(&bytes).unwrap_err().to_string();
    assert!(
        error.contains("version 2") && error.contains("version 1"),
        "{error}"
    );
}

#[test]
fn a_response_is_not_a_request() {
    let bytes = encode(&Response::Done { warnings: vec![] }).unwrap();
    assert!(matches!(
        decode::<Request>(&bytes),
        Err(ProtocolError::Kind {
            found: 2,
            expected: 1
        })
    ));
}

#[test]
fn unknown_requests_and_fields_are_refused() {
    for payload in [
        r#"{"request":"explode"}"#,
        r#"{"request":"reset","device":0,"really":true}"#,
        r#"{"request":"reset"}"#,
        r#"{"request":"reset","device":-1}"#,
        r#"{"request":"reset","device":4294967296}"#,
        r#"{"request":"unmount","mountpoint":"/a"}"#,
        r#"{"request":"mount","spec":{"mountpoint":"/a","write_back":false,"strict":false,
            "flags":[],"cache":"0"}}"#,
        r#"{}"#,
        "",
        "[",
    ] {
        let mut bytes = encode(&Request::Status { device: None }).unwrap();
        bytes.truncate(HEADER_LEN);
        set_length(&mut bytes, payload.len() as u32);
        bytes.extend_from_slice(payload.as_bytes());
        let error = decode::<Request>(&bytes).unwrap_err();
        assert!(
            matches!(error, ProtocolError::Payload(_)),
            "{payload}: {error}"
        );
    }
}

#[test]
fn codes_are_errno_names() {
    let text = serde_json::to_string(&ErrorCode::Ebusy).unwrap();
    assert_eq!(text, "\"EBUSY\"");
    assert_eq!(ErrorCode::Ebusy.name(), "EBUSY");
}
