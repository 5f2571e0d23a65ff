//! What the driver promises beside zram, and whether values of the bench keep it.

use super::values::{Values, split};

/// A promise about a value of a contender.
struct Promise {
    contender: &'static str,
    key: &'static str,
    /// What the value is divided by: another contender's; `None`: nothing.
    reference: Option<(&'static str, &'static str)>,
    /// The most that is promised.
    most: f64,
}

const fn than(
    contender: &'static str,
    key: &'static str,
    other: &'static str,
    its: &'static str,
    most: f64,
) -> Promise {
    Promise {
        contender,
        key,
        reference: Some((other, its)),
        most,
    }
}

const fn of_a_page(contender: &'static str, key: &'static str, most: f64) -> Promise {
    Promise {
        contender,
        key,
        reference: None,
        most,
    }
}

const ZRAM: &str = "zram-lz4";
const LZ4: &str = "ramzswap-lz4";
const LZO: &str = "ramzswap-lzo";
const FAST: &str = "ramzswap-wks:fast";
const WKS: &str = "ramzswap-wks:balanced";

/// In the order of the table of the driver's issue.
const PROMISES: [Promise; 25] = [
    than(LZ4, "write", ZRAM, "write", 0.92),
    than(LZ4, "read", ZRAM, "read", 1.03),
    than(LZ4, "memory", ZRAM, "memory", 0.93),
    than(LZO, "write", "zram-lzo-rle", "write", 1.0),
    than(LZO, "read", "zram-lzo-rle", "read", 1.03),
    than(LZO, "memory", "zram-lzo-rle", "memory", 0.95),
    than(FAST, "write", ZRAM, "write", 0.60),
    than(FAST, "read", ZRAM, "read", 1.05),
    than(FAST, "memory", ZRAM, "memory", 0.90),
    than(WKS, "write", ZRAM, "write", 0.90),
    than(WKS, "read", ZRAM, "read", 1.05),
    than(WKS, "memory", ZRAM, "memory", 0.78),
    than(WKS, "memory.cold", ZRAM, "memory", 0.60),
    than(WKS, "munmap", ZRAM, "munmap", 0.85),
    than(WKS, "exit", ZRAM, "exit", 0.85),
    than(WKS, "write32", ZRAM, "write32", 0.85),
    than(WKS, "read32", ZRAM, "read32", 1.0),
    than(WKS, "memory.half", ZRAM, "memory.half", 0.55),
    than(WKS, "memory.half", ZRAM, "memory.half.compacted", 0.97),
    than(WKS, "touch.all", ZRAM, "touch.all", 0.92),
    of_a_page(WKS, "write.locked-in-modules", 2.0),
    of_a_page(WKS, "write32.locked-in-modules", 2.0),
    of_a_page(WKS, "read.locked-in-modules", 1.0),
    of_a_page(WKS, "munmap.locked-in-modules", 2.0),
    of_a_page(WKS, "exit.locked-in-modules", 2.0),
];

/// A line for each promise of which there are values, for each kernel and set.
pub(super) fn table(values: &Values) -> String {
    let mut groups: Vec<&str> = values
        .keys()
        .filter_map(|key| Some(split(key)?.0))
        .collect();
    groups.dedup();
    let mut text = String::new();
    for group in groups {
        let value = |contender: &str, key: &str| values.get(&format!("{group}.{contender}.{key}"));
        for promise in &PROMISES {
            let Promise {
                contender,
                key,
                reference,
                most,
            } = promise;
            let Some(value) = value(contender, key) else {
                continue;
            };
            let (found, what) = match reference {
                None => (*value, String::new()),
                Some((other, its)) => match self::reference(values, group, other, its) {
                    Some(reference) => (value / reference, format!(" / {other} {its}")),
                    None => continue,
                },
            };
            // As it is printed.
            let kept = (found * 100.0).round() <= most * 100.0;
            text += &format!(
                "{group:<36}{:<64}{found:>6.2} of {most:.2}{}\n",
                format!("{contender} {key}{what}"),
                if kept { "" } else { "  MORE" }
            );
        }
    }
    text
}

/// A contender's value that can be divided by.
fn reference(values: &Values, group: &str, contender: &str, key: &str) -> Option<f64> {
    let value = values.get(&format!("{group}.{contender}.{key}"))?;
    Some(*value).filter(|value| *value > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_broken_promises_are_told_apart() {
        let values = Values::from([
            ("6.1.0-5-amd64.python.zram-lz4.write".into(), 40000.0),
            ("6.1.0-5-amd64.python.zram-lz4.read".into(), 10000.0),
            (
                "6.1.0-5-amd64.python.ramzswap-wks:fast.write".into(),
                24100.0,
            ),
            (
                "6.1.0-5-amd64.python.ramzswap-wks:fast.read".into(),
                12000.0,
            ),
            ("6.1.0-5-amd64.python.ramzswap-lzo.read".into(), 1.0),
            (
                "6.1.0-5-amd64.python.ramzswap-wks:balanced.read.locked-in-modules".into(),
                1.02,
            ),
        ]);
        let text = table(&values);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].contains("wks:fast write / zram-lz4 write"),
            "{text}"
        );
        assert!(lines[0].ends_with(" 0.60 of 0.60"), "{text}");
        assert!(lines[1].ends_with(" 1.20 of 1.05  MORE"), "{text}");
        assert!(lines[2].ends_with(" 1.02 of 1.00  MORE"), "{text}");
    }
}
