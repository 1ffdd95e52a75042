use proptest::prelude::*;

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

#[test]
fn finds_that_overlap_become_one_under_the_first_name() {
    let redacted = redact("password='ada@mail.org!1'");
    assert_eq!(redacted.text, "password='[SECRET]'");
    assert_eq!(redacted.counts.iter().collect::<Vec<_>>(), [(Entity::Secret, 1)]);
}

#[test]
fn other_digits_and_invisible_characters_hide_nothing() {
    let card = "4111111111111111";
    let wide: String =
        card.chars().filter_map(|digit| char::from_u32(digit as u32 - 0x30 + 0xFF10)).collect();
    let arabic: String =
        card.chars().filter_map(|digit| char::from_u32(digit as u32 - 0x30 + 0x0660)).collect();
    let split: String = card.chars().flat_map(|digit| [digit, '\u{200B}']).collect();
    let spaced =
        card.as_bytes().chunks(4).filter_map(|four| std::str::from_utf8(four).ok()).collect::<Vec<_>>();
    for text in [wide, arabic, spaced.join("\u{A0}"), spaced.join("\u{2011}"), split] {
        assert_eq!(redact(&format!("card {text}!")).text, "card [CARD]!".to_owned(), "{text}");
    }
    assert_eq!(redact("a\u{200B}da＠example．org").text, "[EMAIL]");
}

#[test]
fn a_text_with_nothing_in_it_comes_back_as_it_was() {
    let text = "Why does `v[i + 1]` panic at 3.14 × 10⁶ rows?\u{200B} See build 20240115-1030, case 42/7.\0";
    assert_eq!(redact(text).text, text);
}

/// Pieces that have something in them, something near it, and what stands between.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "ada@example.org",
            "@",
            "4111 1111 1111 1111",
            "4111-",
            "+44 20 7946 0958",
            "(0)",
            "DE89370400440532013000",
            "219-09-9999",
            "10.1.2.3",
            "::",
            "fe80::1",
            "00:1A:2b:3C:4d:5E",
            "https://a:b1@c.de/?token=abc123def",
            "password = ",
            "\"",
            "'",
            "secret: ",
            "Bearer ",
            "eyJhbGciOiJI.eyJzdWIiOiIx.abc",
            "sk-proj-a1b2c3d4e5f6a1b2c3d4e5f6",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "My name is ",
            "Dear ",
            "Ada Lovelace",
            "born 1.2.1984",
            "12 Baker Street",
            "phone ",
            "tax id ",
            "111222333",
            "[EMAIL]",
            "[PHONE]",
            "[NAME]",
            "[",
            "]",
            "12345678Z",
            " ",
            "\n",
            "-",
            ".",
            ":",
            "/",
            "x",
            "7",
            "\u{200B}",
            "７",
            "é",
            "\0",
        ])
        .prop_map(str::to_owned),
        "[0-9A-Za-z]{1,12}",
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn redacting_twice_changes_nothing_more(text in pieces()) {
        let once = redact(&text);
        let twice = redact(&once.text);
        prop_assert_eq!(&twice.text, &once.text);
        prop_assert_eq!(twice.counts.total(), 0);
    }

    #[test]
    fn a_result_is_longer_by_placeholders_at_most(text in pieces()) {
        let redacted = redact(&text);
        prop_assert!(redacted.text.len() <= text.len() + Entity::LONGEST * redacted.counts.total() as usize);
    }

    #[test]
    fn finds_are_in_order_and_what_is_between_them_stays(text in pieces()) {
        let mut at = 0;
        for find in finds(&text) {
            prop_assert!(at <= find.range.start && find.range.start < find.range.end);
            prop_assert!(text.get(find.range.clone()).is_some());
            at = find.range.end;
        }
    }

    #[test]
    fn any_text_is_taken(text in any::<String>()) {
        redact(&text);
    }
}
