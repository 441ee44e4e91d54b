//! Decides whether what was counted in a flood is what must have been.

use std::fmt::Write as _;

use crate::command::Counted;

/// How the command attaches, in the order of its counts.
pub(super) const WAYS: [&str; 3] = ["auto", "tracepoint", "raw"];

/// One event in one flood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub event: &'static str,
    pub trigger: &'static str,
    /// How often the trigger had to hit.
    pub expected: u64,
    /// Nothing else can pass its programs by.
    pub is_alone: bool,
    /// System calls interrupt nothing: there is no reason to lose any.
    pub is_call: bool,
    /// In the order of [`WAYS`].
    pub ways: [Counted; 3],
}

impl Outcome {
    /// Events that raw programs have lost.
    pub(super) fn lost_raw(&self) -> u64 {
        self.lost(self.ways[2])
    }

    /// Events that are neither in the table nor dropped by it.
    fn lost(&self, counted: Counted) -> u64 {
        self.expected.saturating_sub(counted.hits + counted.dropped)
    }

    /// What is wrong, with all figures; None if nothing is.
    pub(super) fn complaint(&self) -> Option<String> {
        let mut wrong = Vec::new();
        if self.expected == 0 {
            wrong.push("nothing happened: this proves nothing".to_owned());
        }
        for (name, counted) in WAYS.iter().zip(self.ways) {
            let (least, most) = (counted.hits + counted.dropped, counted.all());
            if least > self.expected {
                wrong.push(format!("{name}: more counted than happened"));
            } else if most < self.expected {
                wrong.push(format!("{name}: {} lost and not reported", self.expected - most));
            } else if self.is_alone && most > self.expected {
                wrong.push(format!(
                    "{name}: {} reported as missed that were not",
                    most - self.expected
                ));
            }
        }
        let [auto, classic, _] = self.ways.map(|counted| self.lost(counted));
        if auto > classic {
            wrong.push(format!("auto lost {auto}, classic {classic}"));
        }
        if self.is_call && auto > 0 {
            wrong.push(format!("auto lost {auto} system calls"));
        }
        (!wrong.is_empty()).then(|| format!("{}\n  {}", self.figures(), wrong.join("\n  ")))
    }

    fn figures(&self) -> String {
        let Self { event, trigger, expected, .. } = self;
        let mut text = format!("{event} {trigger}: expected {expected}");
        for (name, counted) in WAYS.iter().zip(self.ways) {
            let (Counted { hits, dropped, missed }, lost) = (counted, self.lost(counted));
            write!(
                text,
                "\n  {name}: {hits} counted, {dropped} dropped, {missed} missed ({lost} lost)"
            )
            .expect("writing to a string");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Counted = Counted { hits: 100, dropped: 0, missed: 0 };

    fn outcome(auto: Counted, classic: Counted) -> Outcome {
        let ways = [auto, classic, ALL];
        let (event, trigger) = ("a:b", "hist:keys=c");
        Outcome { event, trigger, expected: 100, is_alone: true, is_call: false, ways }
    }

    #[track_caller]
    fn check(outcome: &Outcome, wrong: Option<&str>) {
        let complaint = outcome.complaint();
        match wrong {
            None => assert_eq!(complaint, None),
            Some(part) => {
                assert!(complaint.as_ref().is_some_and(|text| text.contains(part)), "{complaint:?}")
            }
        }
    }

    #[test]
    fn what_is_lost_must_be_reported_and_no_more_than_on_the_classic_one() {
        check(&outcome(ALL, ALL), None);
        let reported = Counted { hits: 70, dropped: 0, missed: 30 };
        check(&outcome(reported, reported), None);
        check(&outcome(ALL, reported), None);
        check(&outcome(reported, ALL), Some("auto lost 30, classic 0"));
        check(
            &outcome(Counted { missed: 29, ..reported }, reported),
            Some("auto: 1 lost and not reported"),
        );
        check(
            &outcome(Counted { missed: 31, ..reported }, reported),
            Some("1 reported as missed that were not"),
        );
        check(&outcome(ALL, Counted { hits: 101, ..ALL }), Some("tracepoint: more counted"));
    }

    #[test]
    fn a_full_table_reports_all_that_it_loses() {
        let full = Counted { hits: 10, dropped: 90, missed: 0 };
        check(&outcome(full, ALL), None);
        check(
            &outcome(Counted { dropped: 89, ..full }, ALL),
            Some("auto: 1 lost and not reported"),
        );
        check(&outcome(Counted { dropped: 91, ..full }, ALL), Some("more counted"));
    }

    #[test]
    fn programs_on_more_than_the_event_may_miss_more() {
        let more = Counted { missed: 5, ..ALL };
        check(&outcome(more, ALL), Some("5 reported as missed that were not"));
        check(&Outcome { is_alone: false, ..outcome(more, ALL) }, None);
    }

    #[test]
    fn no_system_call_is_lost_even_if_the_classic_one_loses_it() {
        let reported = Counted { hits: 99, dropped: 0, missed: 1 };
        check(
            &Outcome { is_call: true, ..outcome(reported, reported) },
            Some("auto lost 1 system calls"),
        );
        check(&Outcome { expected: 0, ..outcome(ALL, ALL) }, Some("nothing happened"));
    }
}
