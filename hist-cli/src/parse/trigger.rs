//! Splits the text of a trigger into its parameters. This is the kernel's scan: a plain split at
//! `:`, no quoting, no trimming, any order (`parse_hist_trigger_attrs` in
//! kernel/trace/trace_events_hist.c).

use std::iter;

use bstr::{BStr, ByteSlice as _};

use super::ast::{Control, Expr, Filter, SortKey, Spanned, Trigger, Variable};
use super::command::{self, PAGE_SIZE, Parts};
use super::number::{self, NumberError};
use super::source::Source;
use super::{expr, filter};
use crate::diag::{Kind, Span, TriggerError, nearest};

/// The most `name=expr` parameters, and the most variables (`TRACING_MAP_VARS_MAX`).
const MAX_VARIABLES: usize = 16;
/// The most handlers (`HIST_ACTIONS_MAX`).
const MAX_HANDLERS: usize = 8;
/// The most keys (`TRACING_MAP_KEYS_MAX`).
const MAX_KEYS: usize = 3;
/// The most values, the hitcount included (`TRACING_MAP_VALS_MAX`).
pub(super) const MAX_VALUES: usize = 3;
/// The most sort keys (`TRACING_MAP_SORT_KEYS_MAX`).
const MAX_SORT_KEYS: usize = 2;
/// The least and greatest base-2 logarithm of `size=` (`TRACING_MAP_BITS_MIN`, `_MAX`).
const SIZE_BITS: std::ops::RangeInclusive<u32> = 7..=17;

const CONTROLS: [(&str, Control); 4] = [
    ("pause", Control::Pause),
    ("cont", Control::Continue),
    ("continue", Control::Continue),
    ("clear", Control::Clear),
];
/// What a `keyword=value` parameter may begin with; each has a variant in [`assignment`].
const KEYWORDS: [&str; 7] = ["keys", "vals", "values", "sort", "size", "name", "clock"];
const HANDLERS: [&str; 3] = ["onmatch(", "onmax(", "onchange("];

/// The last parameter of each sort; the others are forgotten, as the kernel does.
#[derive(Default)]
struct Params<'a> {
    keys: Option<&'a BStr>,
    values: Option<&'a BStr>,
    /// With its keyword.
    sort: Option<&'a BStr>,
    size: Option<Spanned<u32>>,
    /// With its keyword.
    name: Option<&'a BStr>,
    clock: Option<&'a BStr>,
    assignments: Vec<&'a BStr>,
    handlers: Vec<&'a BStr>,
    control: Option<Spanned<Control>>,
    nohitcount: Option<Span>,
}

/// Reads a whole command.
pub(super) fn parse(write: &[u8]) -> Result<Trigger, TriggerError> {
    let text = command::trim(write);
    if write.len() >= PAGE_SIZE {
        let end = text.len().min(PAGE_SIZE - 1);
        return Err(TriggerError::new(Kind::TooLong, Span::new(end, text.len())));
    }
    let scanned = command::hide_minus(text);
    let source = Source(scanned.as_bstr());
    let command = command::split_command(source.0)?;
    let Parts { params, filter } = command::split_filter(command.rest)
        .map_err(|part| source.error(Kind::MalformedIf, part).help("write ` if FILTER`"))?;
    let scan = scan(source, params)?;
    Ok(Trigger {
        remove: command.remove,
        filter: filter.map(|filter| Filter {
            text: source.text(filter),
            tree: filter::parse(source, filter),
        }),
        ..assemble(source, text, params, scan)?
    })
}

/// Every part but the filter.
fn assemble(
    source: Source<'_>,
    text: &BStr,
    params: &BStr,
    scan: Params<'_>,
) -> Result<Trigger, TriggerError> {
    let keys = scan.keys.ok_or_else(|| no_keys(source.span(params), &scan.assignments))?;
    Ok(Trigger {
        text: text.to_owned(),
        remove: false,
        keys: expr_list(source, keys),
        values: scan.values.map_or_else(Vec::new, |values| value_list(source, values)),
        variables: variables(source, &scan.assignments),
        sort: scan.sort.map_or_else(Vec::new, |sort| sort_keys(source, sort)),
        size: scan.size,
        name: scan.name.map(|name| source.node(name["name=".len()..].to_owned(), name)),
        clock: scan.clock.map(|clock| source.text(clock)),
        control: scan.control,
        nohitcount: scan.nohitcount,
        handlers: scan.handlers.into_iter().map(|handler| source.text(handler)).collect(),
        filter: None,
    })
}

/// The error of a trigger without keys; one of the assignments may have been meant for them.
fn no_keys(span: Span, assignments: &[&BStr]) -> TriggerError {
    let mut names = assignments.iter().filter_map(|text| text.split(|byte| *byte == b'=').next());
    let error = command::no_keys(span);
    match names.any(|name| nearest_keyword(name.as_bstr()) == Some("keys")) {
        true => error.help("did you mean `keys=`?"),
        false => error,
    }
}

/// Sorts the parameters by their keywords.
fn scan<'a>(source: Source<'_>, params: &'a BStr) -> Result<Params<'a>, TriggerError> {
    let mut scan = Params::default();
    for param in params.split(|byte| *byte == b':').map(BStr::new) {
        match command::split_once(param, b'=') {
            Some((_, value)) if value.is_empty() => {
                return Err(source.error(Kind::EmptyAssignment, param));
            }
            Some(_) => assignment(source, param, &mut scan)?,
            None => word(source, param, &mut scan)?,
        }
    }
    Ok(scan)
}

/// A parameter with `=` in it.
fn assignment<'a>(
    source: Source<'_>,
    param: &'a BStr,
    scan: &mut Params<'a>,
) -> Result<(), TriggerError> {
    let (keyword, text) = command::split_once(param, b'=').unwrap_or((param, BStr::new("")));
    match &**keyword {
        b"key" | b"keys" => scan.keys = Some(text),
        b"val" | b"vals" | b"values" => scan.values = Some(text),
        b"sort" => scan.sort = Some(param),
        b"name" => scan.name = Some(param),
        b"clock" => scan.clock = Some(command::trim_start(command::trim_end(text))),
        b"size" => scan.size = Some(size(source, text)?),
        _ if scan.assignments.len() == MAX_VARIABLES => {
            return Err(source.error(Kind::TooManyVariables, param));
        }
        _ => scan.assignments.push(param),
    }
    Ok(())
}

/// `size=`, rounded up to a power of two.
fn size(source: Source<'_>, text: &BStr) -> Result<Spanned<u32>, TriggerError> {
    let bad = |kind| source.error(kind, text).help("it is rounded up to a power of two");
    let number = number::unsigned(text).map_err(|error| match error {
        NumberError::Malformed => bad(Kind::BadSize),
        NumberError::Overflow => bad(Kind::SizeOverflow),
    })?;
    u32::try_from(number)
        .ok()
        .and_then(u32::checked_next_power_of_two)
        .filter(|size| number > 0 && SIZE_BITS.contains(&size.ilog2()))
        .map(|size| source.node(size, text))
        .ok_or_else(|| bad(Kind::BadSize))
}

/// A parameter without `=`.
fn word<'a>(
    source: Source<'_>,
    param: &'a BStr,
    scan: &mut Params<'a>,
) -> Result<(), TriggerError> {
    if let b"nohitcount" | b"NOHC" = &**param {
        scan.nohitcount = Some(source.span(param));
    } else if let Some(&(_, control)) = CONTROLS.iter().find(|(word, _)| param == word) {
        set_control(scan, source.node(control, param));
    } else {
        scan.handlers.push(handler(source, param, scan.handlers.len())?);
    }
    Ok(())
}

/// Several may be given: pause comes before cont, cont before clear, wherever they stand. But only
/// pause on its own makes a trigger.
fn set_control(scan: &mut Params<'_>, control: Spanned<Control>) {
    scan.control = Some(match scan.control.take() {
        Some(earlier) => both_controls(earlier, control),
        None => control,
    });
}

fn both_controls(earlier: Spanned<Control>, later: Spanned<Control>) -> Spanned<Control> {
    use Control::{Clear, Pause, PauseExisting};
    match (earlier.node, later.node) {
        (Pause, Pause) => later,
        (Pause | PauseExisting, _) => Spanned { node: PauseExisting, ..earlier },
        (_, Pause) => Spanned { node: PauseExisting, ..later },
        (Clear, _) => later,
        _ => earlier,
    }
}

/// `param` if it begins like a handler; `n_handlers` are there before it.
fn handler<'a>(
    source: Source<'_>,
    param: &'a BStr,
    n_handlers: usize,
) -> Result<&'a BStr, TriggerError> {
    if param.is_empty() {
        return Err(source.error(Kind::EmptyParameter, param).help("there is a `:` too many"));
    }
    if !HANDLERS.iter().any(|prefix| param.starts_with_str(prefix)) {
        return Err(unknown_word(source, param));
    }
    if n_handlers == MAX_HANDLERS {
        return Err(source.error(Kind::TooManyHandlers, param));
    }
    Ok(param)
}

/// The keyword that the name of a variable or an unknown word was probably meant to be.
pub(crate) fn nearest_keyword(word: &BStr) -> Option<&'static str> {
    nearest(&word.to_str_lossy(), KEYWORDS)
}

fn unknown_word(source: Source<'_>, param: &BStr) -> TriggerError {
    let error = source.error(Kind::UnknownWord, param);
    let words = CONTROLS.iter().map(|(word, _)| *word).chain(["nohitcount"]);
    if let Some(word) = nearest(&param.to_str_lossy(), words) {
        error.help(format!("did you mean `{word}`?"))
    } else if let Some(keyword) = nearest_keyword(param) {
        error.help(format!("did you mean `{keyword}=`?"))
    } else {
        error.help("parameters are separated by `:` and look like `keys=FIELD` or `pause`")
    }
}

/// `keys=`.
fn expr_list(source: Source<'_>, text: &BStr) -> Vec<Expr> {
    let mut rest = Some(text);
    let mut keys: Vec<Expr> = iter::from_fn(|| next_item(&mut rest))
        .take(MAX_KEYS)
        .map(|item| expr::parse(source, item))
        .collect();
    keys.extend(rest.map(|rest| Expr::Bad(source.error(Kind::TooManyKeys, rest))));
    keys
}

/// `vals=`. The kernel reads at most three items and at most two that are not the first literal
/// `hitcount`; then one more literal `hitcount` may follow.
fn value_list(source: Source<'_>, text: &BStr) -> Vec<Expr> {
    let mut rest = Some(text);
    let mut values = Vec::new();
    let mut n_counted = 1;
    let mut seen_hitcount = false;
    while values.len() < MAX_VALUES && n_counted < MAX_VALUES {
        let Some(item) = next_item(&mut rest) else { break };
        if item != "hitcount" || seen_hitcount {
            n_counted += 1;
        }
        seen_hitcount |= item == "hitcount";
        values.push(expr::parse(source, item));
    }
    values.extend(rest.map(|rest| match &**rest {
        b"hitcount" => expr::parse(source, rest),
        _ => Expr::Bad(source.error(Kind::TooManyValues, rest)),
    }));
    values
}

/// Takes an item off the front of a list; what is left stays in `rest`, `None` after the last.
fn next_item<'a>(rest: &mut Option<&'a BStr>) -> Option<&'a BStr> {
    let text = (*rest)?;
    let (item, others) = match command::split_once(text, b',') {
        Some((item, others)) => (item, Some(others)),
        None => (text, None),
    };
    *rest = others;
    Some(item)
}

/// All `name=expr`. From one parameter the kernel takes the first 16 and silently drops others.
fn variables(source: Source<'_>, params: &[&BStr]) -> Result<Vec<Variable>, TriggerError> {
    let mut variables = Vec::new();
    let items =
        params.iter().flat_map(|param| param.split(|byte| *byte == b',').take(MAX_VARIABLES));
    for item in items.map(BStr::new) {
        let (name, value) = command::split_once(item, b'=')
            .ok_or_else(|| source.error(Kind::MalformedAssignment, item))?;
        if variables.len() == MAX_VARIABLES {
            return Err(source.error(Kind::TooManyVariables, name));
        }
        variables.push(Variable { name: source.text(name), value: expr::parse(source, value) });
    }
    Ok(variables)
}

/// `sort=`, keyword included.
fn sort_keys(source: Source<'_>, param: &BStr) -> Vec<Result<SortKey, TriggerError>> {
    let (keyword, list) = param.split_at("sort=".len());
    let (keyword, mut rest) = (keyword.as_bstr(), Some(list.as_bstr()));
    let mut keys = Vec::new();
    while let Some(item) = next_item(&mut rest) {
        let is_last = keys.len() + 1 == MAX_SORT_KEYS;
        let key = sort_key(source, keyword, item, is_last && rest.is_some());
        let stop = key.is_err();
        keys.push(key);
        if stop {
            break;
        }
    }
    keys
}

/// One item of `sort=`. The kernel's caret is on the keyword when the item has no text of its own.
fn sort_key(
    source: Source<'_>,
    keyword: &BStr,
    item: &BStr,
    too_many: bool,
) -> Result<SortKey, TriggerError> {
    let (name, modifier) = match command::split_once(item, b'.') {
        Some((name, modifier)) => (name, Some(modifier)),
        None => (item, None),
    };
    match &**name {
        _ if item.is_empty() => Err(source.error(Kind::EmptySortField, keyword)),
        _ if too_many => Err(source.error(Kind::TooManySortFields, keyword)),
        b"" => Err(source.error(Kind::EmptySortField, keyword)),
        _ => Ok(SortKey { name: source.text(name), descending: descending(source, modifier) }),
    }
}

fn descending(source: Source<'_>, modifier: Option<&BStr>) -> Result<bool, TriggerError> {
    let Some(modifier) = modifier else { return Ok(false) };
    match &**modifier {
        b"ascending" => Ok(false),
        b"descending" => Ok(true),
        _ => Err(source
            .error(Kind::InvalidSortModifier, modifier)
            .help("a sort key may end in `.ascending` or `.descending`, nothing else")),
    }
}
