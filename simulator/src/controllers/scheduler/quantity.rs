//! Amounts of resources, as requests and nodes write them.

use crate::controllers::objects::{items, text};
use serde_json::Value;
use std::collections::BTreeMap;

/// A quantity in thousandths, rounded up.
pub(crate) fn milli(text: &str) -> Option<i128> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+'));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let (factor, divisor): (i128, i128) = match unit {
        "" => (1_000, 1),
        "n" => (1, 1_000_000),
        "u" => (1, 1_000),
        "m" => (1, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1_000 << 10, 1),
        "Mi" => (1_000 << 20, 1),
        "Gi" => (1_000 << 30, 1),
        "Ti" => (1_000 << 40, 1),
        "Pi" => (1_000 << 50, 1),
        _ => {
            let power: u32 = unit.strip_prefix(['e', 'E'])?.parse().ok()?;
            (1_000 * 10i128.checked_pow(power)?, 1)
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)? * divisor;
    let product = digits.checked_mul(factor)?;
    Some(product.div_euclid(scale) + i128::from(product.rem_euclid(scale) != 0))
}

/// Amounts by resource: cpu in thousandths, everything else in whole units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(BTreeMap<String, i64>);

fn amount(name: &str, value: &Value) -> Option<i64> {
    let thousandths = match value {
        Value::String(text) => milli(text)?,
        Value::Number(number) => i128::from(number.as_i64()?) * 1000,
        _ => return None,
    };
    let units = if name == "cpu" { thousandths } else { (thousandths + 999).div_euclid(1000) };
    i64::try_from(units).ok()
}

impl Amounts {
    /// Reads a map of quantities.
    pub(crate) fn read(map: &Value) -> Self {
        let entries = map.as_object().into_iter().flatten();
        Self(entries.filter_map(|(name, value)| Some((name.clone(), amount(name, value)?))).collect())
    }

    /// What a pod requests.
    pub(crate) fn of_pod(pod: &Value) -> Self {
        let request = |container: &Value| Self::read(&container["resources"]["requests"]);
        let mut sum = Self::default();
        for container in items(pod, "/spec/containers") {
            sum.add(&request(container), 1);
        }
        let (mut sidecars, mut most) = (Self::default(), Self::default());
        for container in items(pod, "/spec/initContainers") {
            let own = request(container);
            if text(container, "/restartPolicy") == "Always" {
                sum.add(&own, 1);
                sidecars.add(&own, 1);
                most.at_least(&sidecars);
            } else {
                let mut together = sidecars.clone();
                together.add(&own, 1);
                most.at_least(&together);
            }
        }
        sum.at_least(&most);
        sum.add(&Self::read(&pod["spec"]["overhead"]), 1);
        sum
    }

    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Adds another map, so many times.
    pub(crate) fn add(&mut self, other: &Self, times: i64) {
        for (name, value) in &other.0 {
            *self.0.entry(name.clone()).or_default() += value * times;
        }
    }

    fn at_least(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            let slot = self.0.entry(name.clone()).or_default();
            *slot = (*slot).max(*value);
        }
    }

    /// The resources that are asked for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().filter(|(_, value)| **value > 0).map(|(name, value)| (name.as_str(), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::{Amounts, milli};
    use serde_json::json;

    #[test]
    fn quantities_have_many_units() {
        for (text, thousandths) in
            [("1", 1000), ("100m", 100), ("0.5", 500), ("1Ki", 1_024_000), ("1e3", 1_000_000), ("1n", 1)]
        {
            assert_eq!(milli(text), Some(thousandths), "{text}");
        }
        assert_eq!(milli("much"), None);
    }

    #[test]
    fn a_pod_needs_its_containers_or_its_greediest_init_container() {
        let ask = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let pod = json!({"spec": {"containers": [ask("1"), ask("500m")], "initContainers": [ask("2")]}});
        assert_eq!(Amounts::of_pod(&pod).get("cpu"), 2000);
    }
}
