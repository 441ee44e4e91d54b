//! Splits a half-written command line into words as a shell does, and finds the one that is being
//! written.

/// A command line with the cursor in one of its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Words before that one, the program's name first.
    pub before: Vec<String>,
    /// The word up to the cursor.
    pub current: String,
    /// Words behind it.
    pub after: Vec<String>,
}

impl Line {
    /// From words of which number `index` is being written. The program's name is number 0.
    #[must_use]
    pub fn of_words(index: usize, words: &[String]) -> Self {
        let mut words = words.iter().map(|word| unquoted(word));
        let before = words.by_ref().take(index).collect();
        let current = words.next().unwrap_or_default();
        Self { before, current, after: words.collect() }
    }

    /// From the text before and behind the cursor.
    #[must_use]
    pub fn of_text(before: &str, behind: &str) -> Self {
        let (mut words, is_open, mut reader) = split(before);
        let current = if is_open { words.pop().unwrap_or_default() } else { String::new() };
        // The rest of the current word goes on to the next blank outside of quotes.
        let is_end = |c: char| {
            let is_end = c.is_whitespace() && !reader.is_quoting();
            reader.read(c);
            is_end
        };
        let rest = behind.find(is_end).map_or("", |end| &behind[end..]);
        let (after, ..) = split(rest);
        Self { before: words, current, after }
    }
}

/// The word as the program would get it; a quote that is not closed ends with the word.
#[must_use]
pub fn unquoted(word: &str) -> String {
    let mut reader = Reader::default();
    word.chars().filter_map(|c| reader.read(c)).collect()
}

/// The words of a text, whether the last one goes on at its end, and in which quotes.
fn split(text: &str) -> (Vec<String>, bool, Reader) {
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut reader = Reader::default();
    for c in text.chars() {
        if c.is_whitespace() && !reader.is_quoting() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        word.extend(reader.read(c));
    }
    let is_open = word.is_some();
    words.extend(word);
    (words, is_open, reader)
}

/// Undoes quoting, character by character.
#[derive(Default)]
struct Reader {
    /// The quote that is open.
    quote: Option<char>,
    /// A backslash came before.
    escaped: bool,
}

impl Reader {
    const fn is_quoting(&self) -> bool {
        self.quote.is_some() || self.escaped
    }

    /// The character that `c` stands for, if it stands for one.
    fn read(&mut self, c: char) -> Option<char> {
        if self.escaped {
            self.escaped = false;
            return Some(c);
        }
        match (c, self.quote) {
            ('\\', None | Some('"')) => self.escaped = true,
            ('\'' | '"', None) => self.quote = Some(c),
            (_, Some(quote)) if quote == c => self.quote = None,
            _ => return Some(c),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, behind: &str, expect: (&[&str], &str, &[&str])) {
        let line = Line::of_text(before, behind);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let (first, current, after) = expect;
        let expect = Line { before: words(first), current: current.into(), after: words(after) };
        assert_eq!(line, expect);
    }

    #[test]
    fn words_are_told_apart_as_shells_do() {
        check("h ", "", (&["h"], "", &[]));
        check("h li", "", (&["h"], "li", &[]));
        check("h 'a b", "", (&["h"], "a b", &[]));
        check("h 'a b' c\\ d", "", (&["h", "a b"], "c d", &[]));
        check("h \"a 'b\" -", "", (&["h", "a 'b"], "-", &[]));
        check("h 'hist:keys=a", "b' kmem:kmalloc", (&["h"], "hist:keys=a", &["kmem:kmalloc"]));
        check("h hist:keys=", " kmem:kmalloc x", (&["h"], "hist:keys=", &["kmem:kmalloc", "x"]));
        check("h ''", "", (&["h"], "", &[]));
    }

    #[test]
    fn given_words_lose_their_quotes() {
        let words = ["h", "'a b'", "'c", "\"d\""].map(str::to_owned);
        let line = Line::of_words(2, &words);
        assert_eq!(line.before, ["h", "a b"]);
        assert_eq!((line.current.as_str(), &line.after[..]), ("c", &["d".to_owned()][..]));
        assert_eq!(Line::of_words(9, &words).current, "");
    }
}
