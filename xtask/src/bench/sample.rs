//! Sums up repeated measurements: their median and range.

/// Measurements of one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Half of them are above.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Sample {
    /// Of at least one measurement.
    pub(super) fn of(mut values: Vec<f64>) -> Sample {
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        Sample { median: values[last / 2], least: values[0], most: values[last] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_range() {
        let sample = Sample::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(sample, Sample { median: 2.0, least: 1.0, most: 3.0 });
    }
}
