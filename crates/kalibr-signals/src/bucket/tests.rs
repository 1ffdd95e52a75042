use proptest::prelude::*;

use super::RequestBucket::{
    Chat, ChatArabic, ChatChinese, ChatCyrillic, ChatIndic, ChatJapanese, ChatKorean, ChatLatin, ChatOther,
    Choice, Code, Extraction, LongContext, Maths, Tools,
};
use super::*;

fn class(text: &str) -> RequestBucket {
    classify(Offer::default(), [text]).unwrap()
}

#[track_caller]
fn all_are(bucket: RequestBucket, texts: &[&str]) {
    for text in texts {
        assert_eq!(class(text), bucket, "{text}");
    }
}

#[test]
fn programming_is_code() {
    all_are(
        Code,
        &[
            "Write a function that removes duplicates from a list.",
            "Why does my Python script raise a KeyError here?",
            "```\nlet x = parse(y)?;\n```\nwhat does the question mark do",
            "how do I undo the last git commit in bash",
            "for (int i = 0; i < n; i++) { total += prices[i]; }",
            "SELECT name FROM users WHERE age > 30 is slow, how can the query use an index in PostgreSQL",
            "C++: when is a destructor called",
            "user_name.to_lower_case() gives an error, see my_module.rs",
        ],
    );
}

#[test]
fn sums_and_formulas_are_maths() {
    all_are(
        Maths,
        &[
            "Ana has 12 apples and gives 5 to each of her two friends. How many are left?",
            "A jacket costs $80 and is 25% off. What is the final price?",
            "Solve x^2 - 5x + 6 = 0.",
            "Let $f(x) = \\frac{1}{x}$. Find $f'(2)$.",
            "What is the probability of two sixes with three dice?",
            "(3 + 4) * 12 - 7 =",
        ],
    );
}

#[test]
fn picking_one_of_given_options_is_choice_whatever_it_is_about() {
    all_are(
        Choice,
        &[
            "Which planet is the largest?\n(A) Mars\n(B) Jupiter\n(C) Venus",
            "What is 7 * 8?\nA. 54\nB. 56\nC. 63",
            "Question: who was first?\nOption 1: Anna\nOption 2: Ben",
            "Classify the review as positive or negative: I slept through half of it.",
        ],
    );
}

#[test]
fn asking_for_fields_is_extraction() {
    all_are(
        Extraction,
        &[
            "Extract the names and dates from the text below and return valid JSON with the keys name and date.",
            "Return JSON: the sender, the amount and the currency of this invoice.",
        ],
    );
    let demanded = Offer { structured: true, ..Offer::default() };
    assert_eq!(classify(demanded, ["Who wrote this letter?"]), Some(Extraction));
}

#[test]
fn talk_is_chat_even_with_a_number_or_a_word_of_another_trade() {
    all_are(
        Chat,
        &[
            "What should I cook tonight?",
            "Tell me about the 1969 moon landing.",
            "How many people live in Norway?",
            "What is the dress code for a wedding?",
            "Set an alarm for 7 and another one for 8:30",
            "Plan 2 days in Los Angeles and 3 in Las Vegas for my iPhone photo club.",
            "My flight AA-1234 on 11/23/2024 was cancelled - what now?",
            "Translate 你好 into English and tell me how to say it.",
            "What does the French phrase c'est la vie mean?",
            "Write a poem about autumn leaves.",
        ],
    );
}

#[test]
fn talk_in_another_language_has_a_bucket_of_its_own() {
    all_are(ChatChinese, &["请给我推荐一本关于宋代历史的书。", "请解释 transformer 模型"]);
    all_are(ChatJapanese, &["週末に京都で何をすればいいですか。"]);
    all_are(ChatKorean, &["서울에서 주말에 뭐 하면 좋을까요?"]);
    all_are(ChatCyrillic, &["Посоветуй хорошую книгу на выходные.", "Порадь гарну книжку про Львів."]);
    all_are(ChatArabic, &["ما هي أفضل الكتب عن تاريخ الأندلس؟"]);
    all_are(ChatIndic, &["मुझे एक अच्छी किताब बताइए", "எனக்கு ஒரு நல்ல புத்தகம் சொல்லுங்கள்"]);
    all_are(ChatOther, &["Πες μου ένα καλό βιβλίο", "ספר לי על ירושלים", "แนะนำหนังสือดีๆ หน่อย"]);
    all_are(
        ChatLatin,
        &[
            "Recomiéndame un buen libro para el fin de semana, por favor.",
            "Quel livre me conseillez-vous pour les vacances avec des enfants ?",
            "Kannst du mir ein gutes Buch für das Wochenende empfehlen?",
            "Qual é o melhor livro para uma viagem com as crianças?",
        ],
    );
}

#[test]
fn what_a_request_offers_comes_before_its_words() {
    let text = "Write a Python function that adds 2 and 3.";
    let with =
        |tools, structured, text_bytes| classify(Offer { tools, structured, text_bytes }, [text]).unwrap();
    assert_eq!(with(true, true, LONG_CONTEXT + 1), Tools);
    assert_eq!(with(false, true, LONG_CONTEXT + 1), Extraction);
    assert_eq!(with(false, false, LONG_CONTEXT + 1), LongContext);
    assert_eq!(with(false, false, LONG_CONTEXT), Code);
}

#[test]
fn a_short_follow_up_belongs_to_what_was_asked_before_it() {
    let code = "Write a Python function that merges two dicts.";
    let of = |texts: &[&str]| classify(Offer::default(), texts.iter().copied()).unwrap();
    assert_eq!(of(&["and in reverse?", code]), Code);
    assert_eq!(of(&["thanks", "and in reverse?", code]), Code);
    assert_eq!(of(&["what is 3 * 4 + 5?", code]), Maths);
    let letter = "Please help me with a letter to my landlord about the heating. ".repeat(4);
    assert_eq!(of(&[&letter, code]), Chat);
    assert_eq!(of(&["谢谢你", "请给我推荐一本书。"]), ChatChinese);
    assert_eq!(of(&["why is that?", "Which is larger?\n(A) Mars\n(B) Jupiter"]), Chat);
}

#[test]
fn only_as_many_texts_are_asked_for_as_are_needed() {
    let mut asked = 0;
    let texts = std::iter::repeat_with(|| "ok").inspect(|_| asked += 1);
    assert_eq!(classify(Offer::default(), texts), Some(Chat));
    assert_eq!(asked, MAX_TEXTS);
    let none = std::iter::from_fn(|| -> Option<&str> { panic!("tools say it all") });
    assert_eq!(classify(Offer { tools: true, ..Offer::default() }, none), Some(Tools));
}

#[test]
fn a_request_without_words_has_no_class() {
    assert_eq!(classify(Offer::default(), [""; 0]), None);
    assert_eq!(classify(Offer::default(), ["", " \n"]), None);
    assert_eq!(classify(Offer::default(), ["?!"]), Some(Chat));
}

#[test]
fn the_task_is_found_before_and_behind_a_long_text() {
    let story = "The river was calm and the boats lay still in the evening light. ".repeat(60);
    assert_eq!(class(&story), Chat);
    let task = "Extract all names as JSON with the keys first and last; return valid JSON only.";
    assert_eq!(class(&format!("{task}\n{story}")), Extraction);
    assert_eq!(class(&format!("{story}\n{task}")), Extraction);
}

#[test]
fn names_are_distinct_and_survive_as_buckets() {
    let mut names: Vec<_> = RequestBucket::ALL.iter().map(|one| one.bucket().as_str().to_owned()).collect();
    for (name, one) in names.iter().zip(RequestBucket::ALL) {
        assert_eq!(name, one.as_str());
    }
    names.sort();
    names.dedup();
    assert!(names.len() == RequestBucket::ALL.len() && !names.contains(&"all".to_owned()));
}

fn text() -> impl Strategy<Value = String> {
    // Marks, digits and scripts that the reader looks at, more often than chance would bring them.
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[ a-zA-Z0-9_$%()\\[\\]{}=+*^<>/.,:;`\\\\\n-]{0,12}",
        "[а-яé中カ한ا]{0,5}",
        Just("(A)".to_owned()),
        Just("```".to_owned()),
        Just("how many".to_owned()),
        Just("C".to_owned()),
        Just("option 1".to_owned()),
    ];
    prop::collection::vec(piece, 0..400).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_has_the_same_class_each_time_and_none_panics(text in text()) {
        let once = classify(Offer::default(), [&text]);
        prop_assert_eq!(once, classify(Offer::default(), [&text]));
        prop_assert_eq!(once.is_none(), text.trim_ascii().is_empty());
    }

    #[test]
    fn what_lies_between_beginning_and_end_is_not_read(text in text(), middle in "[a-z ]{0,3000}") {
        prop_assume!(text.len() > HEAD + TAIL);
        let head = &text[..text.floor_char_boundary(HEAD)];
        let tail = &text[text.ceil_char_boundary(text.len() - TAIL)..];
        // Padding of one byte each, so that the cuts fall where they did.
        let pad = |cut: usize, whole: usize| "x".repeat(whole - cut);
        let other = format!("{head}{}{middle}{}{tail}", pad(head.len(), HEAD), pad(tail.len(), TAIL));
        let (a, b) = (classify(Offer::default(), [&text]), classify(Offer::default(), [&other]));
        if head.len() == HEAD && tail.len() == TAIL {
            prop_assert_eq!(a, b);
        }
    }
}
