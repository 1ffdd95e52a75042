//! The short form of `bench/redaction`: drawn things of each structured kind in sentences, and plain numbers.

use kalibr_signals::redact::{Entity, finds, redact};

/// A small generator (splitmix64), so that a failure can be run again.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// `9` becomes a digit, `h` a hexadecimal one, `z` a letter or digit; all else stays.
    fn like(&mut self, form: &str) -> String {
        form.chars()
            .map(|char| match char {
                '9' => char::from(b"0123456789"[self.below(10) as usize]),
                'h' => char::from(b"0123456789abcdef"[self.below(16) as usize]),
                'z' => char::from(b"aB3cD4eF5gH6jK7mN8pQ9rS2tU"[self.below(26) as usize]),
                other => other,
            })
            .collect()
    }

    fn card(&mut self) -> String {
        let form =
            self.of(&["4999 9999 9999 9999", "5199-9999-9999-9999", "4999999999999999", "3799 999999 99999"]);
        loop {
            let card = self.like(form);
            let digits = card.chars().filter_map(|char| char.to_digit(10)).rev().enumerate();
            let sum: u32 = digits
                .map(|(at, digit)| if at % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
                .sum();
            if sum.is_multiple_of(10) {
                return card;
            }
        }
    }

    fn iban(&mut self) -> String {
        let body = self.like("999999999999999999");
        // D and E are 13 and 14.
        let number: u128 = format!("{body}131400").parse().unwrap_or(0);
        let iban = format!("DE{:02}{body}", 98 - number % 97);
        if self.below(2) == 0 {
            return iban;
        }
        iban.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
    }

    fn thing(&mut self, entity: Entity) -> String {
        let forms: &[&str] = match entity {
            Entity::Card => return self.card(),
            Entity::Iban => return self.iban(),
            Entity::Email => &["zzz.zzzz@zzzz.org", "zz+zz@mail.zzzzz.co.uk", "zzzzzz_99@zzzz-zz.io"],
            Entity::Phone => &[
                "+1 415 555 9999",
                "+44 20 7999 9999",
                "+49 171 9999999",
                "(415) 555-9999",
                "06 12 99 99 99",
                "+8613899999999",
            ],
            Entity::Ssn => &["219-19-1999", "517-29-1999"],
            Entity::Ip => &["10.9.19.9", "192.168.9.1", "2001:db8:hhhh:1hhh:2hhh::1", "203.0.113.9"],
            Entity::Mac => &["0h:hh:hh:1h:hh:hh", "0h-hh-hh-1h-hh-hh"],
            Entity::ApiKey => &[
                "sk-proj-1zzzzzzzzzzzzzzzzzzzzzzzzzzz",
                "npm_1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
                "glpat-1zzzzzzzzzzzzzzzzzzz",
            ],
            Entity::Jwt => &["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOizzzzzzz.zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"],
            Entity::Crypto => &["0xhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"],
            _ => &[],
        };
        let form = self.of(forms);
        self.like(form)
    }
}

const KINDS: [Entity; 10] = [
    Entity::Card,
    Entity::Iban,
    Entity::Email,
    Entity::Phone,
    Entity::Ssn,
    Entity::Ip,
    Entity::Mac,
    Entity::ApiKey,
    Entity::Jwt,
    Entity::Crypto,
];

#[test]
fn structured_things_are_found_and_nothing_beside_them() {
    let mut draw = Draw(7);
    for entity in KINDS {
        let (mut right, mut false_finds) = (0, 0);
        const ROWS: usize = 200;
        for _ in 0..ROWS {
            let thing = draw.thing(entity);
            let sentence = draw.of(&[
                "please use {} for it.",
                "{}",
                "I wrote ({}) yesterday, 12 times",
                "is \"{}\" right?",
            ]);
            let text = sentence.replace("{}", &thing);
            let start = text.find(&thing).unwrap_or_default();
            let found = finds(&text);
            let hit = |find: &&kalibr_signals::redact::Find| {
                find.entity == entity && find.range == (start..start + thing.len())
            };
            right += usize::from(found.iter().any(|find| hit(&find)));
            false_finds += found.iter().filter(|find| !hit(find)).count();
        }
        assert!(right * 100 >= ROWS * 98, "{}: {right} of {ROWS} found", entity.name());
        assert!(false_finds * 100 <= ROWS * 5, "{}: {false_finds} false finds in {ROWS} rows", entity.name());
    }
}

#[test]
fn plain_numbers_stay() {
    let mut draw = Draw(11);
    let forms = [
        "order 9999999999",
        "ORD-99999999",
        "ts=17999999999",
        "1799999999999",
        "2024-01-19T10:39:59Z",
        "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh",
        "hhhhhhhh-hhhh-4hhh-8hhh-hhhhhhhhhhhh",
        "version 1.19.9",
        "numpy==1.26.9",
        "3.19999999999",
        "1,999,999 rows",
        "9999 * 999 = 9999999",
        "[199, 299, 399, 499]",
        "-12.999999, 99.999999",
        "99999999 bytes",
        "ISBN 978-1-9999-9999-9",
        "line 999:99",
        "99 %",
        "1920x1080",
        "#999999",
    ];
    const ROWS: usize = 2_000;
    let taken: Vec<String> = (0..ROWS)
        .map(|_| {
            let form = draw.of(&forms);
            draw.like(form)
        })
        .filter(|text| redact(text).counts.total() > 0)
        .collect();
    assert!(taken.len() * 200 <= ROWS, "{} of {ROWS}: {:?}", taken.len(), &taken[..taken.len().min(5)]);
}

#[test]
fn twice_the_text_takes_no_more_than_a_few_times_as_long() {
    let time = |text: &str| {
        let began = std::time::Instant::now();
        redact(text);
        began.elapsed().as_secs_f64()
    };
    redact("the patterns are compiled");
    for piece in ["1.", "4111 ", "a@", "-----BEGIN PRIVATE KEY", "password=\"", "eyJhbGciOi", "sk-sk-", "1:"]
    {
        let short = piece.repeat(4_000 / piece.len());
        // Eight times the text: a quadratic scan takes sixty-four times as long.
        let long = piece.repeat(32_000 / piece.len());
        let (short, long) = (time(&short), time(&long));
        assert!(long < short * 30.0 + 0.02, "{piece:?}: {short} s, then {long} s");
    }
}
