//! The words that give a topic away, in a table that costs one probe per word.

use super::text::Topic;

/// What a word says, packed: a weight of 0 to 3 for each topic, two bits each in the order of [`Topic`], then flags. A
/// weight of 3 says it all by itself; of 2 and 1 several words are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint(u16);

/// A number in words.
pub(super) const NUMBER: Hint = Hint(1 << 8);
/// Asks for something: "how", "find".
pub(super) const ASK: Hint = Hint(1 << 9);
/// A quantity that may be asked for: "many", "price".
pub(super) const QUANTITY: Hint = Hint(1 << 10);
/// A small word of English.
pub(super) const ENGLISH: Hint = Hint(1 << 11);
/// A small word of another language in Latin script.
pub(super) const FOREIGN: Hint = Hint(1 << 12);

impl Hint {
    /// For a topic, with a weight of 1 to 3.
    const fn topic(topic: Topic, weight: u16) -> Self {
        Self(weight << (2 * topic as u16))
    }

    /// How much it speaks for a topic, 0 to 3.
    pub(super) const fn weight(self, topic: Topic) -> u32 {
        (self.0 >> (2 * topic as u16) & 3) as u32
    }

    /// Whether it has the flag.
    pub(super) const fn is(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// Whether it speaks for any topic.
    pub(super) const fn is_topical(self) -> bool {
        self.0 & 0xFF != 0
    }
}

/// All words, by what they say. A LaTeX command is written with its backslash.
const WORDS: [(Hint, &str); 14] = [
    (
        Hint::topic(Topic::Code, 3),
        "python python3 javascript typescript golang sql mysql postgresql sqlite nosql html css scss regex regexp \
         traceback stacktrace println printf scanf numpy pandas pytorch tensorflow django flask fastapi reactjs nodejs \
         nextjs jquery kubernetes dockerfile leetcode cpp elif async await const nullptr malloc struct enum npm sudo \
         localhost github codebase stdin stdout stderr bash powershell vba php kotlin haskell webpack typeerror \
         valueerror keyerror segfault refactor usestate graphql mongodb laravel vuejs angularjs rustc pytest kubectl \
         terraform ansible nginx chmod grep sed awk ffmpeg makefile cmake gcc subquery flutter godot rsync nmap autohotkey \
         js jsx tsx dom webapp pseudocode código quellcode код",
    ),
    (
        Hint::topic(Topic::Code, 2),
        "code function functions algorithm algorithms script scripts compile compiler compiles debug debugging api apis \
         backend frontend database databases programming java rust perl linux array arrays docker git vue excel xpath \
         selenium yaml dataframe iterate recursion recursive boolean endpoint middleware http thread multithreading \
         hashmap substring runtime cli sdk ide vscode webhook función fonction funktion função syntax assert snippet \
         unix coding software def py tuple tuples dict lambda",
    ),
    (
        Hint::topic(Topic::Code, 1),
        "write implement program class method methods variable variables return returns import list lists dictionary file \
         files error errors bug string strings test loop nested element elements integer integers input output parameter \
         parameters argument print server app module library package install deploy fix convert sort sorted object \
         objects query table column columns null true false char int float public private static void var let given \
         react angular node ruby heap queue plugin parse page button command value values text number numbers run using",
    ),
    (
        Hint::topic(Topic::Maths, 3),
        "\\frac \\sqrt \\sum \\int \\cdot \\times \\mathbb \\mathbf \\pi \\theta \\le \\leq \\ge \\geq \\neq \\lfloor \\lceil \\ell \
         \\dfrac \\tfrac \\binom \\infty \\angle \\triangle \\circ \\overline \\ldots \\cdots \\equiv \\pmod asy polynomial \
         polynomials quadratic derivative hypotenuse logarithm cosine trigonometry algebra calculus eigenvalue \
         eigenvalues denominator numerator",
    ),
    (
        Hint::topic(Topic::Maths, 2),
        "\\alpha \\beta \\lambda \\sin \\cos \\tan \\log \\ln \\text \\begin \\left \\in \\to \\pm \\div equation equations integral \
         theorem probability triangle prime primes divisible divisor divisors multiply multiplied divided divide subtract \
         fraction fractions perimeter arithmetic geometric radius diameter circumference parallelogram rectangle \
         trapezoid hexagon polygon sine tangent exponent factorial permutations combinations maths math mathematics \
         mathematical modulo remainder solve determinant subgroup homomorphism abelian isomorphic asymptote parabola \
         ellipse hyperbola congruent binomial coefficient coefficients vertices intercept lemma simplify collinear \
         noncollinear chord chords cylinder",
    ),
    (
        Hint::topic(Topic::Maths, 1),
        "sum product calculate compute average total percent percentage times twice triple half area volume digits digit \
         multiple multiples factor factors roots root positive negative real ratio proportion integer integers equal \
         equals per each cost costs sells sold buys bought spend spends spent earns earned paid pays left remaining \
         altogether miles hours minutes mph dollars cents pounds inches feet meters increase decrease interval expression \
         prove proof vector function angle degrees distance speed consecutive distinct squared cubed square circle older equally combined difference \
         ways median dice matrix slope evaluate price age more many together cubic",
    ),
    (Hint::topic(Topic::Extraction, 3), "jsonl ndjson"),
    (Hint::topic(Topic::Extraction, 2), "json extract extraction jsonschema"),
    (
        Hint::topic(Topic::Extraction, 1),
        "entities csv xml tsv yaml structured fields field keys schema format respond output return valid names dates \
         attributes object invoice resume receipt following only values list key text",
    ),
    (Hint::topic(Topic::Choice, 3), "classify categorize categorise"),
    (
        Hint::topic(Topic::Choice, 2),
        "sentiment options choices sarcastic classification category categories label labels plausible",
    ),
    (
        Hint::topic(Topic::Choice, 1),
        "option correct choose select following statement answer best positive negative neutral which letter sentence",
    ),
    (
        ENGLISH,
        "the and is of to in that for you it with are was this be on as have not but they his her from your will would can \
         my if do does did i he she we at by an",
    ),
    (
        FOREIGN,
        "que el los las una por para com não uma você está como más pero porque qué cómo muy del es le les est hola \
         gracias dans pour avec sur pas je vous nous qui quoi du et ou où aux sont mais ce cette bonjour merci und der das \
         ist nicht ein eine einen ich wir sie mit für auf den dem wie kann wer wenn auch zu danke bitte il che di della \
         non sono gli perché questo grazie ciao het een van niet voor zijn wat hoe ik naar och är att det som jag på för \
         ikke jeg nie jest się czy jak dla nasıl bir için ve bu obrigado como estás",
    ),
];

/// Numbers in words, and words that multiply.
const NUMBERS: &str = "one two three four five six seven eight nine ten eleven twelve dozen dozens twenty thirty forty \
                       fifty sixty hundred thousand million third quarter quarters thirds fourth fifth tenth pair once twice \
                       thrice half double triple";
/// Ask that something be found.
const ASKS: &str = "how what find calculate compute determine";
/// What is asked for: a quantity.
const QUANTITIES: &str = "many much far long old tall fast heavy percent percentage total difference ratio probability sum \
                          cost price weight number average area value volume age distance speed amount perimeter footage \
                          score profit product money big rate temperature time interest";

/// Longest word that is looked up, in bytes: a word is its bytes in one integer.
pub(super) const LONGEST: usize = 16;

pub(super) const SLOTS: usize = 2_048;

struct Table {
    keys: [u128; SLOTS],
    /// 0 is an empty slot.
    hints: [u16; SLOTS],
}

static TABLE: Table = build();

/// A word as one integer, its last byte lowest.
pub(super) const fn key(word: &[u8]) -> u128 {
    let mut key = 0;
    let mut i = 0;
    while i < word.len() {
        key = key << 8 | word[i] as u128;
        i += 1;
    }
    key
}

const fn slot(key: u128) -> usize {
    // Fibonacci hashing: the high bits of a product with 2^64 / golden ratio are well mixed.
    let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(29);
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 53) as usize
}

#[expect(clippy::large_stack_arrays, reason = "it runs in the compiler")]
const fn build() -> Table {
    let mut table = Table { keys: [0; SLOTS], hints: [0; SLOTS] };
    let mut list = 0;
    while list < WORDS.len() {
        insert_all(&mut table, WORDS[list].1.as_bytes(), WORDS[list].0);
        list += 1;
    }
    insert_all(&mut table, NUMBERS.as_bytes(), NUMBER);
    insert_all(&mut table, ASKS.as_bytes(), ASK);
    insert_all(&mut table, QUANTITIES.as_bytes(), QUANTITY);
    table
}

const fn insert_all(table: &mut Table, text: &[u8], hint: Hint) {
    let mut i = 0;
    while i < text.len() {
        let start = i;
        while i < text.len() && text[i] != b' ' {
            i += 1;
        }
        if i > start {
            insert(table, text.split_at(start).1.split_at(i - start).0, hint);
        }
        i += 1;
    }
}

const fn insert(table: &mut Table, word: &[u8], hint: Hint) {
    assert!(word.len() <= LONGEST, "a word is longer than what is looked up");
    let key = key(word);
    let mut at = slot(key);
    while table.hints[at] != 0 && table.keys[at] != key {
        at = (at + 1) % SLOTS;
    }
    table.keys[at] = key;
    // A word in several lists says all of it.
    table.hints[at] |= hint.0;
}

/// What a word says, and which slot it has: a number that no other word has.
pub(super) fn look_up(key: u128) -> Option<(Hint, usize)> {
    let mut at = slot(key);
    loop {
        match TABLE.hints[at] {
            0 => return None,
            hint if TABLE.keys[at] == key => return Some((Hint(hint), at)),
            _ => at = (at + 1) % SLOTS,
        }
    }
}
