//! Values as they stand in a scenario file: times, probabilities, ranges.

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData, time::Duration};

/// The longest time that a file may give: a year. Sums of a few such times fit in 64 bits of nanoseconds.
pub(super) const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A time: text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeVisitor;
        impl Visitor<'_> for TimeVisitor {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, such as \"250ms\", \"10s\", \"5m\" or \"2h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                parse_time(text).map(Time).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(TimeVisitor)
    }
}

/// Reads one number and one unit, `1.5s` say.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("`{text}` is no time, expected a number and a unit (ns, us, ms, s, m, h, d), such as \"250ms\"");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ns: u128 = match unit.trim() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return Err(expected()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 18 || fraction.len() > 9 || fraction.contains('.') || number.ends_with('.') {
        return Err(expected());
    }
    let nanoseconds = |digits: &str, scale: u32| -> Option<u128> {
        let value: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        Some(value * unit_ns / 10_u128.pow(scale))
    };
    let total = nanoseconds(whole, 0).zip(nanoseconds(fraction, u32::try_from(fraction.len()).unwrap_or(9)));
    let total = total.map(|(whole, fraction)| whole + fraction).ok_or_else(expected)?;
    if total > TIME_MAX.as_nanos() {
        return Err(format!("`{text}` is too long, expected at most 365 days"));
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| expected())
}

/// A probability, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Probability(pub(super) f64);

impl<'de> Deserialize<'de> for Probability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ProbabilityVisitor;
        impl Visitor<'_> for ProbabilityVisitor {
            type Value = Probability;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a probability from 0 to 1")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Probability, E> {
                if (0.0..=1.0).contains(&value) {
                    return Ok(Probability(value));
                }
                let percent = value / 100.0;
                let hint = if (1.0..=100.0).contains(&value) {
                    format!("; for {value} percent write {percent}")
                } else {
                    String::new()
                };
                Err(E::custom(format!("{value} is no probability, expected a number from 0 to 1{hint}")))
            }

            #[allow(clippy::cast_precision_loss)] // Only 0 and 1 pass, and both are exact.
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Probability, E> {
                self.visit_f64(value as f64)
            }
        }
        deserializer.deserialize_any(ProbabilityVisitor)
    }
}

/// A range, both ends included: a list of two, or one value for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range<T>(pub(super) T, pub(super) T);

impl<'de, T: Deserialize<'de> + PartialOrd + Copy> Deserialize<'de> for Range<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangeVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + PartialOrd + Copy> Visitor<'de> for RangeVisitor<T> {
            type Value = Range<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value, or a list of two: the least and the most")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Range<T>, A::Error> {
                let (Some(least), Some(most), None) =
                    (items.next_element::<T>()?, items.next_element::<T>()?, items.next_element::<T>()?)
                else {
                    return Err(de::Error::custom(
                        "wrong number of values in a range, expected two: the least and the most",
                    ));
                };
                if least > most {
                    return Err(de::Error::custom(
                        "the least is more than the most, expected them in this order: [least, most]",
                    ));
                }
                Ok(Range(least, most))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Range<T>, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(|value| Range(value, value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Range<T>, E> {
                T::deserialize(de::value::I64Deserializer::new(value)).map(|value| Range(value, value))
            }
        }
        deserializer.deserialize_any(RangeVisitor(PhantomData))
    }
}

/// How many replicas, or their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CountOrNames {
    Count(u16),
    Names(Vec<String>),
}

impl<'de> Deserialize<'de> for CountOrNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl<'de> Visitor<'de> for CountVisitor {
            type Value = CountOrNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("how many replicas there are, or a list of their names")
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<CountOrNames, E> {
                u16::try_from(count)
                    .map(CountOrNames::Count)
                    .map_err(|_| E::custom(format!("{count} replicas, expected 1 to 1000")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<CountOrNames, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element::<String>()? {
                    names.push(name);
                }
                Ok(CountOrNames::Names(names))
            }
        }
        deserializer.deserialize_any(CountVisitor)
    }
}
