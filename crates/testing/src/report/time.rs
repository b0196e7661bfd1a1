use std::time::Duration;

/// Whether a trace says when things happened, and how long they took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    Shown,
    Hidden,
}

/// A duration as people write it: its days, hours, minutes and seconds, or what is less than a second.
pub(super) fn text_of(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    if duration < Duration::from_secs(1) {
        return fraction_of_a_second(duration);
    }
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m")];
    let mut words: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    let (whole, millis) = (seconds % 60, duration.subsec_millis());
    if whole > 0 || millis > 0 {
        words.push(format!("{}s", decimal(whole, millis)));
    }
    words.join(" ")
}

fn fraction_of_a_second(duration: Duration) -> String {
    let micros = duration.subsec_micros();
    match micros {
        0 => format!("{}ns", duration.subsec_nanos()),
        1..1000 => format!("{micros}µs"),
        _ => format!("{}ms", decimal(u64::from(micros / 1000), micros % 1000)),
    }
}

/// A number with thousandths, as few of them as say it.
fn decimal(whole: u64, thousandths: u32) -> String {
    if thousandths == 0 {
        return whole.to_string();
    }
    format!("{whole}.{thousandths:03}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use awaitly_core::clock::{days, hours, mins, ms, secs};

    #[test]
    fn a_duration_reads_as_people_write_it() {
        for (duration, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(7), "7ns"),
            (Duration::from_micros(70), "70µs"),
            (ms(100), "100ms"),
            (Duration::from_nanos(117_293_847), "117.293ms"),
            (ms(1500), "1.5s"),
            (mins(2) + secs(5), "2m 5s"),
            (mins(2), "2m"),
            (days(30), "30d"),
            (days(1) + hours(2) + ms(3), "1d 2h 0.003s"),
        ] {
            assert_eq!(text_of(duration), text);
        }
    }
}
