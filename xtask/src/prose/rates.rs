//! Measures how often a text uses certain words, and compares the rates with limits.

use std::fmt;

use super::text::Text;

/// Shorter texts are not judged, because one word would decide.
const FEWEST_WORDS: usize = 300;

/// A limit on the rate of a word.
#[derive(Debug)]
pub(super) struct Limit {
    /// The words, each of which can be a phrase.
    words: &'static [&'static str],
    /// The allowed number of uses in 1000 words.
    bound: Bound,
    /// The advice for a better text.
    mend: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const LIMITS: [Limit; 6] = [
    Limit { words: &["where"], bound: Bound::AtMost(2.0), mend: "write `if` for a condition" },
    Limit { words: &["what"], bound: Bound::AtMost(2.0), mend: "name the thing" },
    Limit { words: &["who"], bound: Bound::AtMost(0.5), mend: "name the actor" },
    Limit {
        words: &["nobody", "nothing", "somebody"],
        bound: Bound::AtMost(2.0),
        mend: "name the actor, and negate the verb",
    },
    Limit { words: &["the same"], bound: Bound::AtMost(1.2), mend: "repeat the noun" },
    Limit { words: &["if"], bound: Bound::AtLeast(5.0), mend: "say when a sentence holds" },
];

/// The limits for sentences.
pub(super) const SENTENCES: &[Limit] = &LIMITS;

/// The limits for names, which state a condition without a conjunction.
pub(super) const NAMES: &[Limit] = LIMITS.split_at(5).0;

/// At most one of this many docs may begin with "What".
const ONE_IN: usize = 100;

impl Limit {
    /// Returns how often `text` uses the words.
    pub(super) fn count(&self, text: &Text) -> usize {
        let stands_at =
            |words: &[String], phrase: &str| phrase.split(' ').eq(words.iter().map(String::as_str));
        let count = |phrase: &&str| {
            let length = phrase.split(' ').count();
            text.words.windows(length).filter(|words| stands_at(words, phrase)).count()
        };
        self.words.iter().map(count).sum()
    }

    fn holds(&self, rate: f64) -> bool {
        match self.bound {
            Bound::AtMost(most) => rate <= most,
            Bound::AtLeast(least) => rate >= least,
        }
    }
}

/// The rates of a body of text.
pub(super) struct Rates {
    words: usize,
    counts: Vec<(&'static Limit, usize)>,
    docs: usize,
    begin_with_what: usize,
}

/// A limit that a body of text breaks.
#[derive(Debug)]
pub(super) struct Fault {
    limit: &'static Limit,
    rate: f64,
}

impl Rates {
    pub(super) fn of<'a>(limits: &'static [Limit], texts: impl Iterator<Item = &'a Text> + Clone) -> Self {
        let count = |limit: &'static Limit| (limit, texts.clone().map(|text| limit.count(text)).sum());
        Self {
            words: texts.clone().map(|text| text.words.len()).sum(),
            counts: limits.iter().map(count).collect(),
            docs: texts.clone().map(|text| text.docs).sum(),
            begin_with_what: texts.map(|text| text.begin_with_what).sum(),
        }
    }

    /// Returns the limits on words that the text breaks.
    pub(super) fn faults(&self) -> Vec<Fault> {
        if self.words < FEWEST_WORDS {
            return Vec::new();
        }
        let rate = |count: usize| 1000.0 * count as f64 / self.words as f64;
        let fault = |(limit, count): &(&'static Limit, usize)| {
            let rate = rate(*count);
            (!limit.holds(rate)).then_some(Fault { limit, rate })
        };
        self.counts.iter().filter_map(fault).collect()
    }

    /// Returns whether too many docs begin with "What".
    pub(super) const fn begins_with_what(&self) -> bool {
        self.begin_with_what * ONE_IN > self.docs
    }
}

impl Fault {
    /// Returns the limit if its words are too frequent, or `None` if they are too rare.
    pub(super) fn too_many(&self) -> Option<&'static Limit> {
        matches!(self.limit.bound, Bound::AtMost(_)).then_some(self.limit)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit { words, bound, mend } = self.limit;
        let (bound, limit) = match bound {
            Bound::AtMost(most) => ("at most", most),
            Bound::AtLeast(least) => ("at least", least),
        };
        write!(out, "{:.1} \"{}\" in 1000 words, {bound} {limit}: {mend}", self.rate, words.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sentence: &str) -> Text {
        let words = [sentence; 100].join(" ").split(' ').map(str::to_owned).collect();
        Text { words, docs: 100, begin_with_what: 0 }
    }

    fn faults(text: &Text) -> Vec<String> {
        Rates::of(SENTENCES, [text].into_iter()).faults().iter().map(Fault::to_string).collect()
    }

    #[test]
    fn words_of_one_limit_are_counted_together() {
        let [_, _, _, actors, same, _] = &LIMITS;
        assert_eq!(actors.count(&text("nobody and somebody")), 200);
        assert_eq!(same.count(&text("the same and then the other")), 100);
    }

    #[test]
    fn broken_limit_gives_advice() {
        let faults = faults(&text("see where it is now if so"));
        assert_eq!(faults, ["142.9 \"where\" in 1000 words, at most 2: write `if` for a condition"]);
    }

    #[test]
    fn missing_conditions_break_a_limit() {
        assert_eq!(faults(&text("it does this")).len(), 1);
    }

    #[test]
    fn names_need_no_conjunction() {
        let names = text("expired lease rejects append");
        assert!(Rates::of(NAMES, [names].iter()).faults().is_empty());
    }

    #[test]
    fn short_text_is_not_judged() {
        let text = Text { words: vec!["where".to_owned()], docs: 1, begin_with_what: 0 };
        assert!(faults(&text).is_empty());
    }

    #[test]
    fn one_doc_in_a_hundred_may_begin_with_the_word() {
        let rates = |begin_with_what| Rates::of(SENTENCES, [Text { begin_with_what, ..text("a") }].iter());
        assert!(!rates(1).begins_with_what());
        assert!(rates(2).begins_with_what());
    }
}
