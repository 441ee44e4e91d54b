//! Reads the figures that the guest program reports.

use anyhow::{Context, Result, bail};

use super::sample::Sample;

/// The kinds of programs that this project counts with.
pub(super) const KINDS: [&str; 2] = ["tracepoint", "raw"];

/// One run of the guest program.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// The kernel's release.
    pub release: String,
    /// An untraced call.
    pub base: f64,
    /// In the order measured.
    pub costs: Vec<Cost>,
}

/// What a tracer adds to one call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cost {
    /// `kernel`, `tracepoint`, `raw`, `empty` or `empty-raw`.
    pub tracer: String,
    /// What it counts.
    pub case: String,
    /// How much it adds.
    pub added: Sample,
}

impl Figures {
    /// Reads the lines that `hist-measure bench` reports.
    pub(super) fn parse(text: &str) -> Result<Figures> {
        let (mut release, mut base, mut costs) = (None, None, Vec::new());
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("KERNEL", rest)) => release = Some(rest.to_owned()),
                Some(("BASE", rest)) => base = Some(rest.parse().with_context(|| line.to_owned())?),
                Some(("COST", rest)) => {
                    costs.push(cost(rest).with_context(|| format!("`{line}` is no cost"))?);
                }
                _ => bail!("the guest program failed:\n{text}"),
            }
        }
        let release = release.context("the guest program names no kernel")?;
        let base = base.context("the guest program has no untraced call")?;
        Ok(Figures { release, base, costs })
    }

    /// What `tracer` adds in `case`, if it was measured.
    pub(super) fn added(&self, tracer: &str, case: &str) -> Option<&Sample> {
        let mut costs = self.costs.iter();
        Some(&costs.find(|cost| cost.tracer == tracer && cost.case == case)?.added)
    }

    /// All cases, in order.
    pub(super) fn cases(&self) -> Vec<&str> {
        let mut cases: Vec<&str> = self.costs.iter().map(|cost| cost.case.as_str()).collect();
        cases.dedup();
        cases
    }

    /// How much a kind of our programs adds in relation to the kernel's trigger, if both counted.
    pub(super) fn ratio(&self, kind: &str, case: &str) -> Option<f64> {
        Some(self.added(kind, case)?.median / self.added("kernel", case)?.median)
    }

    /// The same for all kinds and cases, by `KIND: CASE`.
    pub(super) fn ratios(&self) -> Vec<(String, f64)> {
        let of = |case: &&str| {
            KINDS.map(|kind| Some((format!("{kind}: {case}"), self.ratio(kind, case)?)))
        };
        self.cases().iter().flat_map(of).flatten().collect()
    }
}

/// `TRACER MEDIAN LEAST MOST CASE`
fn cost(text: &str) -> Option<Cost> {
    let mut words = text.splitn(5, ' ');
    let tracer = words.next()?.to_owned();
    let mut number = || words.next()?.parse().ok();
    let added = Sample { median: number()?, least: number()?, most: number()? };
    Some(Cost { tracer, added, case: words.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "KERNEL 6.12.1\nBASE 336.2\nCOST empty 20.0 20.0 20.0 empty program\n\
        COST kernel 800.0 799.0 801.0 keys=a if b\nCOST tracepoint 400.0 1.0 900.0 keys=a if b\n";

    #[test]
    fn figures_are_read_and_divided() {
        let figures = Figures::parse(TEXT).unwrap();
        assert_eq!(figures.base, 336.2);
        assert_eq!(figures.cases(), ["empty program", "keys=a if b"]);
        assert_eq!(figures.ratios(), [("tracepoint: keys=a if b".to_owned(), 0.5)]);
    }

    #[test]
    fn an_error_is_no_figure() {
        assert!(Figures::parse("KERNEL 6.12.1\nBASE 1.0\nERROR no tracefs\n").is_err());
        assert!(Figures::parse("KERNEL 6.12.1\nBASE 1.0\nCOST kernel x\n").is_err());
        assert!(Figures::parse("KERNEL 6.12.1\n").is_err());
    }
}
