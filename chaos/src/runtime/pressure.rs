//! How long tasks of this machine wait for its processors: pressure stall
//! information, where the kernel keeps it
//! (<https://docs.kernel.org/accounting/psi.html>).

use std::time::Duration;

const CPU: &str = "/proc/pressure/cpu";

/// How long some task had to wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// Of the last minute, 0 to 1.
    pub last_minute: f64,
    /// Altogether since the machine started.
    pub total: Duration,
}

/// That of the processors; `None` where the kernel does not say.
pub fn of_processors() -> Option<Pressure> {
    parse(&std::fs::read_to_string(CPU).ok()?)
}

fn parse(text: &str) -> Option<Pressure> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let field = |name: &str| {
        let mut fields = some.split_whitespace();
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let percent: f64 = field("avg60")?.parse().ok()?;
    Some(Pressure {
        last_minute: (percent / 100.0).clamp(0.0, 1.0),
        total: Duration::from_micros(field("total")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read_and_others_are_not() {
        let text = "some avg10=7.82 avg60=25.00 avg300=15.36 total=614876874\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
        let expected = Pressure {
            last_minute: 0.25,
            total: Duration::from_micros(614_876_874),
        };
        assert_eq!(parse(text), Some(expected));
        for text in [
            "",
            "some avg60=1.00",
            "some avg60=1.00 total=many",
            "some avg60=much total=3",
            "full avg60=1.00 total=3",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
