use super::*;

/// Each text, in the middle of a sentence, is found whole and as what it is.
pub(super) fn all_of(entity: Entity, texts: &[&str]) {
    for text in texts {
        for (before, after) in [("", ""), ("so it is ", " now"), ("(", "),"), ("\n", "\n")] {
            let sentence = format!("{before}{text}{after}");
            let expected = format!("{before}{}{after}", entity.placeholder());
            assert_eq!(redact(&sentence).text, expected);
        }
    }
}

/// None of the texts has anything to take out.
pub(super) fn none_of(texts: &[&str]) {
    for text in texts {
        let redacted = redact(text);
        assert_eq!(redacted.text, *text);
        assert_eq!(redacted.counts.total(), 0);
    }
}
