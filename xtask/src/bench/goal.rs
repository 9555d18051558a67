//! A goal: a bound for a figure, of its own or in proportion to another figure of the same run.

use serde::Deserialize;

/// The server whose figures most goals are a multiple of.
pub(crate) const MEASURE: &str = "mosquitto";

/// `least` or `most`; with `times` it is that many times another figure.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Goal {
    bound: f64,
    is_least: bool,
    times: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    least: Option<f64>,
    most: Option<f64>,
    times: Option<String>,
}

impl TryFrom<Written> for Goal {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let (bound, is_least) = match (written.least, written.most) {
            (Some(least), None) => (least, true),
            (None, Some(most)) => (most, false),
            _ => return Err("a goal has either `least` or `most`"),
        };
        Ok(Self {
            bound,
            is_least,
            times: written.times,
        })
    }
}

impl Goal {
    /// The other scenario of Magpie's that it is a multiple of.
    pub(crate) fn scenario(&self) -> Option<&str> {
        self.times.as_deref().filter(|times| *times != MEASURE)
    }

    /// Whether it is a multiple of mosquitto's figure.
    pub(crate) fn is_ratio(&self) -> bool {
        self.times.as_deref() == Some(MEASURE)
    }

    /// As a cell of the table.
    pub(crate) fn text(&self) -> String {
        let sign = if self.is_least { "≥" } else { "≤" };
        let bound = figure(self.bound);
        match (&self.times, self.is_ratio()) {
            (None, _) => format!("{sign} {bound}"),
            (Some(_), true) => format!("{sign} {bound} ×"),
            (Some(scenario), false) => format!("{sign} {bound} × `{scenario}`"),
        }
    }

    /// `met`, or by how much it was missed. `base` is what it is a multiple of.
    pub(crate) fn verdict(&self, value: Option<f64>, base: Option<f64>) -> String {
        let target = match (&self.times, base) {
            (None, _) => Some(self.bound),
            (Some(_), base) => base.map(|base| base * self.bound),
        };
        let (Some(value), Some(target)) = (value, target) else {
            return "not measured".to_owned();
        };
        let is_met = if self.is_least {
            value >= target
        } else {
            value <= target
        };
        if is_met {
            return "met".to_owned();
        }
        if target == 0.0 {
            return format!("**missed** by {}", figure(value));
        }
        let off = (value / target - 1.0).abs() * 100.0;
        format!("**missed** by {off:.0} %")
    }
}

/// `1234567.8` as `1,234,568`, `1.2345` as `1.23`.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    let decimals = match value {
        _ if value.fract() == 0.0 || size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 0.1 => 2,
        _ => 4,
    };
    let digits = format!("{value:.decimals$}");
    let (whole, rest) = digits
        .split_once('.')
        .map_or((digits.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    if !rest.is_empty() {
        text.push('.');
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(text: &str) -> Goal {
        toml::from_str(text).expect("is a goal")
    }

    #[test]
    fn a_bound_of_its_own() {
        let goal = goal("most = 300");
        assert_eq!(goal.text(), "≤ 300");
        assert_eq!(goal.verdict(Some(300.0), None), "met");
        assert_eq!(goal.verdict(Some(450.0), None), "**missed** by 50 %");
        assert_eq!(goal.verdict(None, None), "not measured");
    }

    #[test]
    fn a_multiple_of_mosquittos() {
        let goal = goal("least = 6\ntimes = \"mosquitto\"");
        assert_eq!(goal.text(), "≥ 6 ×");
        assert!(goal.is_ratio() && goal.scenario().is_none());
        assert_eq!(goal.verdict(Some(60.0), Some(10.0)), "met");
        assert_eq!(goal.verdict(Some(45.0), Some(10.0)), "**missed** by 25 %");
        assert_eq!(goal.verdict(Some(45.0), None), "not measured");
    }

    #[test]
    fn nothing_at_all_is_a_bound_too() {
        assert_eq!(goal("most = 0").verdict(Some(0.0), None), "met");
        assert_eq!(goal("most = 0").verdict(Some(3.0), None), "**missed** by 3");
    }

    #[test]
    fn one_bound_and_no_more() {
        assert!(toml::from_str::<Goal>("least = 1\nmost = 2").is_err());
        assert!(toml::from_str::<Goal>("times = \"x\"").is_err());
    }

    #[test]
    fn figures_are_written_with_commas() {
        let figures = [
            0.0,
            0.001_23,
            0.456,
            12.34,
            999.4,
            1000.0,
            1_234_567.8,
            -1000.0,
        ];
        assert_eq!(
            figures.map(figure),
            [
                "0",
                "0.0012",
                "0.46",
                "12.3",
                "999",
                "1,000",
                "1,234,568",
                "-1,000"
            ]
        );
    }
}
