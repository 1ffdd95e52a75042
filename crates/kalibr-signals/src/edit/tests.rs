use proptest::prelude::*;

use super::*;

const ANSWER: &str = "One line.\nTwo lines here.\nThree of them.\nFour.\nFive is the last one.\n";

fn similarity_from_diff(diff: &str, answer_tokens: Option<u32>) -> Result<f64, BadDiff> {
    Diff::read(diff).map(|diff| diff.similarity(answer_tokens))
}

#[test]
fn a_diff_with_all_of_the_text_gives_the_exact_similarity() {
    let diff = "--- a\n+++ b\n@@ -1,5 +1,4 @@\n One line.\n-Two lines here.\n+Two words here.\n Three of them.\n-Four.\n Five is the last one.\n";
    let after = "One line.\nTwo words here.\nThree of them.\nFive is the last one.\n";
    assert_eq!(similarity_from_diff(diff, None), Ok(similarity(ANSWER, after)));
}

#[test]
fn what_a_diff_leaves_out_counts_where_the_answers_length_is_known() {
    let diff = "@@ -4 +4 @@\n-Four.\n+4.\n";
    let after = ANSWER.replace("Four", "4");
    let exact = similarity(ANSWER, &after);
    let tokens = {
        let mut count = 0;
        tokens::for_each(ANSWER, |_| count += 1);
        count
    };
    assert_eq!(similarity_from_diff(diff, Some(tokens)), Ok(exact));
    let unknown = similarity_from_diff(diff, None).unwrap();
    assert!(unknown < exact && unknown > 0.7, "{unknown}: three lines before it are known to be there");
}

#[test]
fn diffs_of_the_common_tools_are_read() {
    for (diff, similarity) in [
        ("", 1.0),
        ("  \n", 1.0),
        (
            "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@ fn main() {\n-old\n+new\n",
            0.0,
        ),
        ("@@ -0,0 +1,2 @@\n+all\n+new\n", 0.0),
        (
            "@@ -1,2 +1,2 @@\n same\n-old\n\\ No newline at end of file\n+new\n\\ No newline at end of file",
            0.5,
        ),
        ("@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n", 0.5),
        ("@@ -1,2 +0,0 @@\n-all\n-gone\n", 0.0),
        ("@@ -1,2 +1,3 @@\r\n a\r\n b\r\n+c\r\n", 0.8),
    ] {
        assert_eq!(similarity_from_diff(diff, None), Ok(similarity), "{diff}");
    }
}

#[test]
fn what_is_no_diff_is_an_error_that_says_where_and_repeats_nothing() {
    let private = "Zanzibar is my secret";
    for (diff, error) in [
        (private.to_owned(), BadDiff::NoHunk),
        (format!("--- a\n+++ b\n-{private}\n"), BadDiff::NoHunk),
        (format!("@@ {private} @@\n"), BadDiff::Line(1)),
        (format!("@@ -1,2 +1,2 @@\n-{private}\n"), BadDiff::Line(1)),
        (format!("@@ -1 +1 @@\n-a\n{private}\n"), BadDiff::Line(3)),
        ("@@ -1 +1 @@\n-a\n-b\n+c\n".to_owned(), BadDiff::Line(3)),
        ("@@ -9 +9 @@\n-a\n+b\n@@ -2 +2 @@\n-a\n+b\n".to_owned(), BadDiff::Line(4)),
        ("@@ -99999999999999999999 +1 @@\n-a\n+b\n".to_owned(), BadDiff::Line(1)),
        ("x".repeat(MAX_DIFF + 1), BadDiff::TooLong),
    ] {
        let found = similarity_from_diff(&diff, None).unwrap_err();
        assert_eq!(found, error);
        assert!(!format!("{found} {found:?}").contains("Zanzibar"));
    }
}

proptest! {
    #[test]
    fn no_diff_is_too_odd(diff in "(@@ -[0-9]{1,2}(,[0-9])? \\+[0-9](,[0-9])? @@\n|[ +-]?[a-c ]{0,5}\n){0,8}", known in 0..50u32) {
        if let Ok(similarity) = similarity_from_diff(&diff, Some(known)) {
            prop_assert!((0.0..=1.0).contains(&similarity));
        }
    }

    #[test]
    fn similarity_is_1_to_itself_and_the_same_both_ways(a in "[a-d ]{0,30}", b in "[a-d ]{0,30}") {
        prop_assert_eq!(similarity(&a, &a), 1.0);
        prop_assert_eq!(similarity(&a, &b), similarity(&b, &a));
    }
}
