use proptest::prelude::*;

use super::*;

const KEY: Key = Key::new(*b"sixteen secrets!");

fn of(text: &str) -> Fingerprint {
    Fingerprint::of(&KEY, text)
}

/// So many different words.
fn words(from: usize, count: usize) -> String {
    (from..from + count).fold(String::new(), |text, i| text + &format!("word{i} "))
}

#[test]
fn a_text_is_wholly_like_itself_at_any_length() {
    for text in ["", "ok", "Yes, please.", "你好，世界", &words(0, 479), &words(0, 20_000)] {
        let print = of(text);
        assert_eq!(print.edit_similarity(&print), 1.0);
        assert_eq!(print.containment(&print), 1.0);
        assert!((print.resemblance(&print) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn nothing_is_unlike_something() {
    for text in ["a", "ok then", &words(0, 5_000)] {
        assert_eq!(of("").edit_similarity(&of(text)), 0.0);
        assert_eq!(of(text).edit_similarity(&of("")), 0.0);
        assert_eq!(of(text).resemblance(&of(" ")), 0.0);
        assert_eq!(of("").containment(&of(text)), 0.0);
    }
}

#[test]
fn a_short_edit_is_graded_by_its_tokens() {
    for (before, after, similarity) in [
        ("yes", "no", 0.0),
        ("Paris", "Paris!", 2.0 / 3.0),
        ("The capital is Paris", "The capital is Lyon", 0.75),
        ("我喜欢苹果", "我喜欢香蕉", 0.6),
        ("one two three four", "three four one two", 0.5),
        ("let x = 1;", "let mut x = 1;", 10.0 / 11.0),
    ] {
        let estimate = of(before).edit_similarity(&of(after));
        assert!((estimate - similarity).abs() < 1e-9, "{before} / {after}: {estimate}");
    }
}

#[test]
fn case_and_white_space_are_no_edit() {
    assert_eq!(of("Hello,\n  World"), of("hello, world"));
}

#[test]
fn an_insertion_at_the_start_of_a_long_text_shifts_nothing() {
    let (before, after) = (words(0, 20_000), words(90_000, 3) + &words(0, 20_000));
    assert!(of(&before).edit_similarity(&of(&after)) > 0.98);
}

#[test]
fn what_is_kept_of_a_short_text_is_found_in_a_long_one_that_it_is_part_of() {
    let (part, all) = (of(&words(100, 400)), of(&words(0, 3_000)));
    assert!(part.containment(&all) > 0.8, "{}", part.containment(&all));
    assert!(of(&words(50_000, 400)).containment(&all) < 0.2);
    let most = 2.0 * 400.0 / 3_400.0;
    assert!((part.edit_similarity(&all) - most).abs() < 0.05);
}

#[test]
fn unlike_texts_resemble_each_other_no_more_than_chance() {
    for size in [5, 50, 300, 5_000] {
        let (a, b) = (of(&words(0, size)), of(&words(100_000, size)));
        assert!(a.resemblance(&b) < 0.2, "{size}: {}", a.resemblance(&b));
        assert!(a.edit_similarity(&b) < 0.25, "{size}: {}", a.edit_similarity(&b));
    }
}

#[test]
fn the_order_of_words_changes_edits_and_not_resemblance() {
    let (forth, back) = (words(0, 100) + &words(200, 100), words(200, 100) + &words(0, 100));
    assert!(of(&forth).resemblance(&of(&back)) > 0.95);
    assert!((of(&forth).edit_similarity(&of(&back)) - 0.5).abs() < 0.1);
}

#[test]
fn another_key_gives_another_fingerprint() {
    let (text, other) = (words(0, 200), Key::new([1; 16]));
    let strange = Fingerprint::of(&other, &text);
    assert_ne!(strange.to_bytes(), of(&text).to_bytes());
    assert!(strange.resemblance(&of(&text)) < 0.2);
}

#[test]
fn its_size_is_bounded_and_says_how_long_the_text_was() {
    for (tokens, exact) in [(0, true), (1, true), (480, true), (481, false), (70_000, false)] {
        let print = of(&words(0, tokens));
        assert!(print.to_bytes().len() <= MAX_BYTES);
        let off = f64::from(print.tokens()) / (tokens as f64).max(1.0) - if tokens == 0 { 0.0 } else { 1.0 };
        assert!(off.abs() <= if exact { 0.0 } else { 0.04 }, "{tokens}: {}", print.tokens());
    }
    let same = "again ".repeat(300_000);
    assert!(of(&same).to_bytes().len() <= MAX_BYTES);
    assert_eq!(of(&same).edit_similarity(&of(&same)), 1.0);
}

#[test]
fn bytes_that_are_no_fingerprint_are_an_error() {
    let good = of("some words of a text").to_bytes();
    assert_eq!(Fingerprint::from_bytes(&good), Ok(of("some words of a text")));
    assert_eq!(Fingerprint::from_bytes(&[]), Err(Malformed::Bytes));
    let mut newer = good.clone();
    newer[0] = 9;
    assert_eq!(Fingerprint::from_bytes(&newer), Err(Malformed::Version(9)));
    for (place, value) in [(1, 1), (1, 17), (2, 4), (5, 1)] {
        let mut bad = good.clone();
        bad[place] = value;
        assert_eq!(Fingerprint::from_bytes(&bad), Err(Malformed::Bytes), "{place}");
    }
    assert_eq!(Fingerprint::from_bytes(&good[..4]), Err(Malformed::Bytes));
    assert_eq!(Fingerprint::from_bytes(&good[..good.len() - 1]), Err(Malformed::Bytes));
}

#[test]
fn neither_key_nor_symbols_show_in_a_debug_print() {
    assert_eq!(format!("{KEY:?}"), "Key(secret)");
    assert_eq!(format!("{:?}", of("three word text")), "Fingerprint(3 tokens)");
}

proptest! {
    #[test]
    fn any_text_survives_being_stored_and_is_in_range_with_any_other(a in any::<String>(), b in any::<String>()) {
        let (a, b) = (of(&a), of(&b));
        prop_assert_eq!(&Fingerprint::from_bytes(&a.to_bytes()).unwrap(), &a);
        for estimate in [a.edit_similarity(&b), a.resemblance(&b), a.containment(&b)] {
            prop_assert!((0.0..=1.0).contains(&estimate));
        }
        prop_assert_eq!(a.edit_similarity(&b), b.edit_similarity(&a));
    }

    #[test]
    fn any_bytes_are_a_fingerprint_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(print) = Fingerprint::from_bytes(&bytes) {
            prop_assert_eq!(print.to_bytes(), bytes);
            prop_assert!((0.0..=1.0).contains(&print.edit_similarity(&of("a text of some words"))));
            prop_assert!((0.0..=1.0).contains(&print.resemblance(&of("a text of some words"))));
        }
    }
}

#[test]
fn a_text_just_longer_than_a_fingerprint_is_read_back() {
    for count in MAX_SYMBOLS - 1..MAX_SYMBOLS + 40 {
        let print = of(&words(0, count));
        assert_eq!(Fingerprint::from_bytes(&print.to_bytes()), Ok(print), "{count} tokens");
    }
}
