//! Completes half-written triggers, with the names and modifiers that suit the event.

use super::suits::{self, BUILT_IN};
use crate::kernel::format::EventFormat;
use crate::modifier::{self, Role, TABLE};
use crate::parse;

/// Something that the current word may become.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The whole word.
    pub word: String,
    /// What it is, in a few words; may be empty.
    pub help: String,
    /// The word is complete: a blank may follow.
    pub closed: bool,
}

/// What a trigger may hold besides `keys=`, and what it is.
const PARAMETERS: [(&str, &str); 10] = [
    ("keys=", "what entries are told apart by, up to 3"),
    ("vals=", "numbers to add up, up to 2"),
    ("sort=", "order of entries"),
    ("size=", "entries that there is room for"),
    ("clock=", "what common_timestamp reads"),
    ("name=", "triggers of one name share a table"),
    ("nohitcount", "do not show how often"),
    ("pause", "begin paused"),
    ("continue", "of a trigger that is there"),
    ("clear", "of a trigger that is there"),
];

/// Clocks that programs can read.
const CLOCKS: [&str; 5] = ["mono", "boot", "tai", "global", "local"];

/// Ways in which `text`, the beginning of a trigger, may go on. Without `event` only what every
/// event has is known.
#[must_use]
pub fn trigger(text: &str, event: Option<&EventFormat>) -> Vec<Candidate> {
    if let Some((_, filter)) = text.split_once(" if ") {
        let Some(name) = name_start(filter) else { return Vec::new() };
        return ending(text, name, filter_names(event));
    }
    let Some((head, parameter)) = text.rsplit_once(':') else {
        return ending(text, text, vec![("hist:".to_owned(), "a hist trigger".to_owned())]);
    };
    match parameter.split_once('=') {
        None => ending(text, parameter, parameters(head)),
        Some((keyword, items)) => value_of(text, keyword, items, event),
    }
}

/// Those that `head` does not have yet. Keys come first.
fn parameters(head: &str) -> Vec<(String, String)> {
    let has = |name: &str| {
        let name = name.trim_end_matches('=').trim_end_matches('s');
        head.split(':').skip(1).any(|part| part.starts_with(name))
    };
    let has_keys = has("keys");
    let open = PARAMETERS.iter().filter(|(name, _)| !has(name));
    let open = open.filter(|(name, _)| has_keys || *name == "keys=" || *name == "name=");
    open.map(|(name, help)| ((*name).to_owned(), (*help).to_owned())).collect()
}

fn value_of(text: &str, keyword: &str, items: &str, event: Option<&EventFormat>) -> Vec<Candidate> {
    let plain =
        |words: &[&str]| words.iter().map(|word| ((*word).to_owned(), String::new())).collect();
    match keyword {
        "key" | "keys" => item(text, items, Role::Key, event),
        "val" | "vals" | "values" => item(text, items, Role::Value, event),
        "sort" => sort(text, items),
        "clock" => ending(text, items, plain(&CLOCKS)),
        "size" => ending(text, items, plain(&["512", "2048", "8192", "32768", "131072"])),
        _ => Vec::new(),
    }
}

/// A name of `keys=` or `vals=`, or the modifier behind one.
fn item(text: &str, items: &str, role: Role, event: Option<&EventFormat>) -> Vec<Candidate> {
    let item = items.rsplit(|c: char| ",+-*/(".contains(c)).next().unwrap_or_default();
    let whole = items.rsplit(',').next().filter(|item| modifier::is_split_by_minus(item));
    let item = whole.unwrap_or(item);
    match item.split_once('.') {
        None => ending(text, item, names(role, event)),
        Some((name, modifier)) => ending(text, modifier, modifiers(name, role, event)),
    }
}

fn names(role: Role, event: Option<&EventFormat>) -> Vec<(String, String)> {
    let built_in = BUILT_IN.iter().filter(|name| match role {
        Role::Key => **name != "hitcount",
        Role::Value => matches!(**name, "hitcount" | "common_timestamp"),
    });
    let built_in = built_in.map(|name| ((*name).to_owned(), "of every event".to_owned()));
    let Some(event) = event else {
        let pid =
            (role == Role::Key).then(|| ("common_pid".to_owned(), "of every event".to_owned()));
        return built_in.chain(pid).collect();
    };
    let suits = event.fields.iter().filter(|field| {
        suits::modifiers(event, &field.name, role).is_ok() && field.name != "common_type"
    });
    // An event's own fields first.
    let (common, own): (Vec<_>, Vec<_>) = suits.partition(|field| field.common);
    let fields = own.into_iter().chain(common);
    fields.map(|field| (field.name.clone(), field.type_name.clone())).chain(built_in).collect()
}

fn modifiers(name: &str, role: Role, event: Option<&EventFormat>) -> Vec<(String, String)> {
    let suiting = match event {
        Some(event) => suits::modifiers(event, name, role).unwrap_or_default(),
        None => TABLE.iter().collect(),
    };
    suiting.into_iter().map(|row| (row.beginning(), String::new())).collect()
}

/// What the trigger counts, by name; and the directions.
fn sort(text: &str, items: &str) -> Vec<Candidate> {
    let item = items.rsplit(',').next().unwrap_or_default();
    if let Some((_, direction)) = item.split_once('.') {
        let directions = ["descending", "ascending"].map(|word| (word.to_owned(), String::new()));
        return ending(text, direction, directions.to_vec());
    }
    let head = text.strip_suffix(items).unwrap_or(text);
    let whole = head.rsplit_once(':').map_or(head, |(head, _)| head);
    let counted = parse::trigger(whole).map(|trigger| {
        let exprs = trigger.keys.iter().chain(&trigger.values);
        exprs.map(|expr| expr.to_string()).collect::<Vec<_>>()
    });
    let named = counted.unwrap_or_default().into_iter().map(|name| {
        let name = name.split('.').next().unwrap_or_default().to_owned();
        (name, "counted".to_owned())
    });
    let hitcount = ("hitcount".to_owned(), "how often".to_owned());
    let mut names: Vec<_> = std::iter::once(hitcount).chain(named).collect();
    names.dedup();
    ending(text, item, names)
}

/// The name that a filter ends in; there is none within quotes.
fn name_start(filter: &str) -> Option<&str> {
    if filter.matches('"').count() % 2 == 1 {
        return None;
    }
    filter.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

fn filter_names(event: Option<&EventFormat>) -> Vec<(String, String)> {
    let built_in =
        ["common_cpu", "comm"].map(|name| (name.to_owned(), "of every event".to_owned()));
    let pid = || ("common_pid".to_owned(), "of every event".to_owned());
    match event {
        None => built_in.into_iter().chain([pid()]).collect(),
        Some(event) => {
            let fields = event.fields.iter().filter(|field| !field.common);
            let fields = fields.map(|field| (field.name.clone(), field.type_name.clone()));
            fields.chain([pid()]).chain(built_in).collect()
        }
    }
}

/// The words that `text` becomes where its end, `part`, becomes one of `parts`.
fn ending(text: &str, part: &str, parts: Vec<(String, String)>) -> Vec<Candidate> {
    let Some(head) = text.strip_suffix(part) else { return Vec::new() };
    let fits = parts.into_iter().filter(|(other, _)| other.starts_with(part));
    fits.map(|(other, help)| Candidate { word: format!("{head}{other}"), help, closed: false })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::format;

    const KMALLOC: &str = include_str!("../../../tests/golden/formats/events/kmem/kmalloc/format");

    #[track_caller]
    fn words(text: &str) -> Vec<String> {
        let event = format::parse("kmem", KMALLOC).expect("a format");
        trigger(text, Some(&event)).into_iter().map(|candidate| candidate.word).collect()
    }

    #[test]
    fn a_trigger_grows_from_its_end() {
        assert_eq!(words(""), ["hist:"]);
        assert_eq!(words("hi"), ["hist:"]);
        assert_eq!(words("hist:"), ["hist:keys=", "hist:name="]);
        assert_eq!(words("hist:keys=byt"), ["hist:keys=bytes_req", "hist:keys=bytes_alloc"]);
        assert_eq!(words("hist:key=ptr,call"), ["hist:key=ptr,call_site"]);
        assert_eq!(
            words("hist:keys=call_site.sym"),
            ["hist:keys=call_site.sym", "hist:keys=call_site.sym-offset"]
        );
        assert_eq!(words("hist:keys=call_site.sym-"), ["hist:keys=call_site.sym-offset"]);
        assert_eq!(words("hist:keys=ptr.bu"), ["hist:keys=ptr.buckets="]);
        assert_eq!(
            words("hist:keys=ptr:vals=bytes_req.p"),
            ["hist:keys=ptr:vals=bytes_req.percent"]
        );
        assert_eq!(words("hist:keys=bytes_alloc-bytes_r"), ["hist:keys=bytes_alloc-bytes_req"]);
        assert_eq!(words("hist:keys=ptr:so"), ["hist:keys=ptr:sort="]);
        assert_eq!(words("hist:keys=ptr:clock=t"), ["hist:keys=ptr:clock=tai"]);
        assert_eq!(words("hist:keys=ptr:size=51"), ["hist:keys=ptr:size=512"]);
        assert_eq!(words("hist:keys=ptr:name=x"), [""; 0]);
        assert_eq!(words("hist:keys=nosuch.s"), [""; 0]);
    }

    #[test]
    fn every_modifier_is_offered() {
        for row in &TABLE {
            let word = format!("hist:keys=x.{}", row.beginning());
            let offered = trigger("hist:keys=x.", None).into_iter().map(|one| one.word);
            assert!(offered.collect::<Vec<_>>().contains(&word), "{word}");
            // Up to any character of it, a `-` included.
            for end in 12..word.len() {
                let offered = trigger(&word[..end], None).into_iter().map(|one| one.word);
                assert!(offered.collect::<Vec<_>>().contains(&word), "{word} from {end} bytes on");
            }
        }
    }

    #[test]
    fn what_is_there_is_not_offered_again() {
        assert!(!words("hist:keys=ptr:").contains(&"hist:keys=ptr:keys=".to_owned()));
        assert!(!words("hist:key=ptr:val=node:").iter().any(|word| word.ends_with("vals=")));
    }

    #[test]
    fn sorting_is_by_what_is_counted() {
        assert_eq!(
            words("hist:keys=ptr.hex:vals=node:sort="),
            [
                "hist:keys=ptr.hex:vals=node:sort=hitcount",
                "hist:keys=ptr.hex:vals=node:sort=ptr",
                "hist:keys=ptr.hex:vals=node:sort=node",
            ]
        );
        assert_eq!(words("hist:keys=ptr:sort=ptr.d"), ["hist:keys=ptr:sort=ptr.descending"]);
    }

    #[test]
    fn filters_have_names() {
        let text = "hist:keys=ptr if bytes_req > 1 && (no";
        assert_eq!(words(text), ["hist:keys=ptr if bytes_req > 1 && (node"]);
        assert_eq!(words("hist:keys=ptr if comm == \"no"), [""; 0]);
    }

    #[test]
    fn without_an_event_there_is_what_every_event_has() {
        let words = |text| trigger(text, None).into_iter().map(|one| one.word).collect::<Vec<_>>();
        assert!(words("hist:keys=").contains(&"hist:keys=common_pid".to_owned()));
        assert_eq!(words("hist:keys=x.lo"), ["hist:keys=x.log2"]);
    }
}
