//! Whether an answer refuses.
//!
//! A refusal says so at its beginning, in the first person, and has little else: so the opening is looked at, for a form
//! of words that declines an act ("I can't help", not "I cannot recommend it highly enough"), and only in short answers
//! without code. A refusal that is quoted, discussed or told of in a story stands elsewhere or in quotes. An answer that
//! says what it cannot do and then does what it can is none.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::text::words;
use crate::verdict::{Finding, Reason, Skip};

/// Answers of more words do something besides refusing: refusals with advice and addresses have some 150.
const LONGEST: u64 = 220;
/// How much of an answer is its opening, in characters.
const OPENING: usize = 400;
/// How much of the input is searched for refusals, in bytes.
const INPUT: usize = 64 << 10;

/// A language's way of refusing: what may stand before the refusal, and the refusal.
struct Way(&'static str, &'static str);

/// A few words, as few as will do.
macro_rules! some {
    () => {
        r"(?:[^\s.!?]+ ){0,6}?"
    };
}

const WAYS: [Way; 14] = [
    // English
    Way(
        r"(?:(?:i'm|i am) (?:so |very |really |truly |terribly )?sorry|sorry|(?:my )?(?:sincere )?apologies|i (?:sincerely )?apologi[sz]e|unfortunately|regrettably|i'm afraid|i am afraid|as an ai|as a (?:large )?language model|i (?:completely |fully )?understand|i appreciate|i hear you|thank you for|thanks for|no|hmm|while i)\b[^.!?]{0,140}?[,.!;:—–-]* ?(?:but |however,? |that )?",
        concat!(
            r"(?:i (?:really |simply |just |also )?(?:can't|cannot|can not|won't|will not|am unable to|am not able to|am not going to|am not allowed to|am not permitted to|must decline to|have to decline to|decline to|refuse to|do not feel comfortable|don't feel comfortable|don't think i can|wouldn't be able to|would not be able to|shouldn't)|i'm (?:unable to|not able to|not going to|not allowed to|not permitted to|not comfortable|really unable to|currently unable to)) ",
            r"(?:be able to |in good conscience |directly |currently |actually |in any way |ethically )*",
            r"(?:help|assist|provid|fulfil|comply|complying|accommodate|do (?:that|this|so|it)\b|answer|creat|writ|generat|shar|discuss|support|continue|engag|produc|offer|give|giving|complete|process|participat|carry out|respond|talk about|draft|translat|summari[sz]|access|browse|open|advise|advice|reveal|disclose|perform|execute|satisfy|proceed|send|role-?play|instruct|facilitate|endorse|encourage|fabricat)",
            r"|i (?:must|have to|need to|will have to|'ll have to) (?:respectfully |politely )?(?:decline|refuse)",
            r"|(?:that's|this is|that is|it's|it is) (?:not something|something) (?:that )?i (?:can't|cannot|can|am able to|'m able to|won't) (?:help|assist|provide|do|discuss|support|create|write)",
            r"|(?:your|this|the) request (?:violates|goes against|cannot be (?:fulfilled|processed|completed)|has been (?:declined|denied|refused))",
            r"|(?:it|this|that) (?:is|would be|goes) against my (?:guidelines|programming|policy|policies|principles|values)",
        ),
    ),
    // German
    Way(
        r"(?:es tut mir (?:sehr |wirklich )?leid|tut mir leid|entschuldigung|entschuldige|leider|bedauerlicherweise|ich verstehe|ich bedauere|danke)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:aber |jedoch |dass )?",
        concat!(
            r"(?:ich (?:kann|darf|werde|bin)|(?:kann|darf|werde) ich|bin ich) ",
            some!(),
            r"(?:nicht|keine?[nrm]?) ",
            some!(),
            r"(?:helfen|weiterhelfen|behilflich|unterstützen|beantworten|bereitstellen|erfüllen|nachkommen|liefern|geben|erstellen|schreiben|verfassen|anbieten|ausführen|generieren|in der lage)",
        ),
    ),
    // French
    Way(
        r"(?:je suis (?:vraiment |sincèrement )?désolée?|désolée?|pardon|malheureusement|je regrette|je comprends|je m'excuse|toutes mes excuses|merci)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:mais |cependant,? )?",
        concat!(
            r"je (?:ne |n')(?:peux|puis|pourrai|pourrais|suis|souhaite) (?:malheureusement )?pas ",
            some!(),
            r"(?:[tv]'|vous |te |y |en |l')?(?:aider|assister|fournir|répondre|donner|générer|créer|écrire|rédiger|accéder|mesure|satisfaire|traiter|continuer|faire cela|proposer|capable)",
            r"|je suis (?:dans l'incapacité|incapable) de",
        ),
    ),
    // Spanish
    Way(
        r"(?:lo siento(?: mucho)?|lamento|lamentablemente|desafortunadamente|disculpa|disculpe|perdón|entiendo|gracias|lo lamento)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:pero |sin embargo,? |que )?",
        concat!(
            r"(?:yo )?no (?:puedo|podré|podría|me es posible|estoy en condiciones de|soy capaz de|tengo permitido) ",
            some!(),
            r"(?:ayudar|asistir|proporcionar|responder|dar|generar|crear|escribir|cumplir|ofrecer|continuar|acceder|brindar|hacer eso|realizar|compartir)",
        ),
    ),
    // Portuguese
    Way(
        r"(?:desculpe|desculpa|sinto muito|lamento|infelizmente|peço desculpas|lamentavelmente|entendo|obrigad[oa])\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:mas |porém,? |que )?",
        concat!(
            r"(?:eu )?não (?:posso|consigo|poderei|poderia|sou capaz de|estou autorizad[oa] a|tenho permissão para) ",
            some!(),
            r"(?:ajudar|ajudá|auxiliar|fornecer|responder|dar|gerar|criar|escrever|atender|continuar|acessar|oferecer|fazer isso|cumprir|compartilhar)",
        ),
    ),
    // Italian
    Way(
        r"(?:mi dispiace|spiacente|purtroppo|scusa|scusi|mi scuso|capisco|grazie|sono spiacente)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:ma |tuttavia,? |però |che )?",
        concat!(
            r"(?:io )?non (?:posso|potrò|riesco a|sono in grado di|mi è possibile|sono autorizzat[oa] a) ",
            some!(),
            r"(?:aiutar|assister|fornir|risponder|dar[eltv]|generar|crear|scriver|soddisfar|continuar|acceder|offrir|farlo|elaborar|condivider)",
        ),
    ),
    // Dutch
    Way(
        r"(?:het spijt me|sorry|helaas|mijn excuses|excuses|ik begrijp|bedankt)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:maar |echter )?",
        concat!(
            r"(?:ik (?:kan|mag|zal|ben)|(?:kan|mag|zal) ik|ben ik) ",
            some!(),
            r"(?:niet|geen) ",
            some!(),
            r"(?:helpen|assisteren|bieden|beantwoorden|voldoen|geven|schrijven|maken|staat|verstrekken|ondersteunen|uitvoeren)",
        ),
    ),
    // Polish
    Way(
        r"(?:przepraszam|przykro mi|niestety|rozumiem|dziękuję|wybacz)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:ale |jednak )?",
        concat!(
            r"(?:ja )?nie (?:mogę|jestem w stanie|będę mógł|będę mogła|będę w stanie|wolno mi) ",
            some!(),
            r"(?:pomóc|pomagać|udzielić|spełnić|odpowiedzieć|dostarczyć|napisać|stworzyć|wygenerować|podać|zapewnić|wykonać|kontynuować)",
        ),
    ),
    // Swedish
    Way(
        r"(?:jag är ledsen|tyvärr|ursäkta|förlåt|jag beklagar|beklagar|jag förstår|tack)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:men |dock )?",
        concat!(
            r"(?:jag (?:kan|får|kommer)|(?:kan|får|kommer) jag) ",
            some!(),
            r"(?:inte|ingen|inga|inget) ",
            some!(),
            r"(?:hjälpa|svara|tillhandahålla|ge|skriva|skapa|uppfylla|bistå|assistera|erbjuda|utföra)",
        ),
    ),
    // Russian
    Way(
        r"(?:извините|простите|прошу прощения|к сожалению|мне (?:очень )?жаль|сожалею|я понимаю|понимаю|спасибо|приношу извинения)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:но |однако |что )?",
        concat!(
            r"(?:я )?(?:не могу|не смогу|не в состоянии|не буду|не имею возможности|не вправе|не способ(?:ен|на)) ",
            some!(),
            r"(?:помочь|помогать|выполнить|предоставить|ответить|отвечать|написать|создать|создавать|сгенерировать|генерировать|обсуждать|поддержать|дать|продолжить|сделать это)",
        ),
    ),
    // Turkish
    Way(
        r"(?:üzgünüm|özür dilerim|maalesef|ne yazık ki|kusura bakmayın|anlıyorum|teşekkürler)\b[^.!?]{0,100}?[,.!;:—–-]* ?(?:ama |ancak |fakat )?",
        concat!(
            some!(),
            r"(?:yardımcı olamam|yardımcı olamıyorum|yardım edemem|yanıtlayamam|cevaplayamam|sağlayamam|yerine getiremem|oluşturamam|yazamam|sunamam|paylaşamam|veremem)"
        ),
    ),
    // Chinese, in both scripts
    Way(
        r"(?:非常|很|十分|真的|实在|實在)*(?:抱歉|对不起|對不起|遗憾|遺憾|不好意思|我理解|我明白|感谢|感謝)[^。！!？?]{0,40}?[,，。:：;；!！]? ?(?:但是?|不过|不過)?",
        r"(?:作为[^。！!]{0,20}[,，] ?)?(?:我|本助手|我们)?[^。！!？?]{0,8}?(?:无法|不能|無法|不會|不会|没办法|沒辦法|不可以)[^。！!？?]{0,14}?(?:帮助|帮忙|提供|回答|协助|满足|继续|讨论|幫助|幫忙|協助|滿足|繼續|討論|生成|撰写|撰寫|处理您的|处理你的|参与|參與|帮您|帮你|幫您|幫你|回应|回應)",
    ),
    // Japanese
    Way(
        r"(?:大変|誠に)?(?:申し訳(?:ありません|ございません|ないのですが|ないですが|ありませんが|ございませんが)|すみません|ごめんなさい|恐れ入りますが|残念ながら)[^。]{0,10}?[、。,]? ?",
        r"[^。]{0,60}?(?:お手伝い|お答え|回答|対応|提供|お応え|作成|ご案内|支援|サポート|それ|そのご?要望に応える|要求に応じる)(?:する|いたす)?(?:こと)?(?:は|が|を|に)?(?:することは|することが)?(?:できません|出来ません|できかね|いたしかね|致しかね|応じられません)",
    ),
    // Korean
    Way(
        r"(?:정말 |대단히 )?(?:죄송합니다|죄송하지만|죄송합니다만|미안합니다|미안하지만|유감스럽게도|안타깝게도|아쉽게도)[^.!?]{0,40}?[,.]? ?",
        r"[^.!?]{0,60}?(?:도와|도움|제공|답변|응답|작성|생성|수행|지원|처리|이행|말씀)[^.!?]{0,16}?(?:수 없|수가 없|못합니다|못해요|어렵습니다|불가능합니다)",
    ),
];

/// What sounds like a refusal and is praise, or a turn of phrase.
const NO_REFUSAL: &str = r"^[^.!?]{0,200}(?:\benough\b|help but\b|help (?:feeling|noticing|wondering|thinking|loving|laughing|smiling)|genug (?:danken|loben|empfehlen)|\bassez\b)";
/// An answer goes on after saying what it cannot do.
const GOES_ON: &str = r"(?:here(?:'s| is| are)|that said,? (?:here|based)|based on (?:what|the)|below (?:is|are)|voici|aquí (?:está|tiene|tienes)|hier (?:ist|sind)|ecco|aqui está)";
/// Words after that, from which on it is an answer.
const GOES_ON_FOR: u64 = 40;

// Patterns are fixed: the tests below compile and use every one of them.
#[expect(clippy::expect_used, reason = "fixed patterns, compiled by every test below")]
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a fixed pattern")
}

static OPENINGS: LazyLock<Vec<Regex>> = LazyLock::new(|| ways("^"));
/// Where a text quotes a refusal.
static QUOTED: LazyLock<Vec<Regex>> = LazyLock::new(|| ways(r#"(?:^|["'“”«»„「:>] ?)"#));
static PRAISE: LazyLock<Regex> = LazyLock::new(|| regex(NO_REFUSAL));
static PIVOT: LazyLock<Regex> = LazyLock::new(|| regex(GOES_ON));

fn ways(place: &str) -> Vec<Regex> {
    WAYS.iter()
        .map(|Way(before, refusal)| regex(&format!("{place}(?:{before}){{0,3}}(?:{refusal})")))
        .collect()
}

/// Whether the answer refuses. `field` is what the dialect has in a field of its own for that.
pub(crate) fn check(text: &str, field: Option<&str>, input: Option<&str>) -> Finding {
    if field.is_some_and(|refusal| !refusal.trim().is_empty()) {
        return Finding::Failed(Reason::Refused);
    }
    let opening = plain(text.trim().chars().take(OPENING));
    let Some(found) = OPENINGS.iter().find_map(|way| way.find(&opening)) else { return Finding::Passed };
    if PRAISE.is_match(sentence(&opening, found.start(), found.end())) || text.contains("```") {
        return Finding::Passed;
    }
    if words(text) > LONGEST || goes_on(text) {
        return Finding::Passed;
    }
    // To be asked to translate or to improve a refusal is no reason to be suspected of one.
    let quotes = |input: &str| {
        let input = plain(input.chars().take(INPUT));
        QUOTED.iter().any(|way| way.is_match(&input))
    };
    if input.is_some_and(quotes) {
        return Finding::NotApplicable(Skip::InInput);
    }
    Finding::Failed(Reason::Refused)
}

fn goes_on(text: &str) -> bool {
    let text = plain(text.chars());
    PIVOT.find(&text).is_some_and(|found| words(&text[found.end()..]) > GOES_ON_FOR)
}

/// From where the refusal begins (without what stands before it) to the end of the sentence that it ends in.
fn sentence(opening: &str, start: usize, end: usize) -> &str {
    let rest = &opening[end..];
    let stop = rest.find(['.', '!', '?', '。']).map_or(opening.len(), |at| end + at);
    let begun = opening[start..end].rfind(['.', '!', '?', '。']).map_or(start, |at| start + at + 1);
    opening[begun..stop].trim_start()
}

/// In lower case, with plain quotes, single spaces and no emphasis.
fn plain(text: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    for c in text {
        match c {
            '’' | '‘' => out.push('\''),
            '*' | '_' | '#' => {}
            c if c.is_whitespace() => {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            c => out.extend(c.to_lowercase()),
        }
    }
    let plain: Cow<'_, str> = out.trim().into();
    plain.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(text: &str) -> bool {
        check(text, None, None) == Finding::Failed(Reason::Refused)
    }

    #[test]
    fn refusals_are_found_in_fourteen_languages() {
        for text in [
            "I'm sorry, but I can't help with that.",
            "I’m sorry, but I can’t assist with that request.",
            "I can't help with that.",
            "Sorry, I cannot provide medical advice.",
            "I cannot fulfill this request.",
            "As an AI language model, I am unable to browse the internet.",
            "Unfortunately, I'm not able to create content that promotes violence. Is there something else I can help with?",
            "I apologize, but I must decline.",
            "I understand you're curious about this, but I won't write that.",
            "Thank you for asking. However, I can't discuss that topic.",
            "**I can't** assist with that.",
            "No, I won't do that.",
            "I'm not comfortable writing that.",
            "Your request violates our policy.",
            "Es tut mir leid, aber dabei kann ich nicht helfen.",
            "Leider kann ich dir bei dieser Anfrage nicht weiterhelfen.",
            "Ich kann diese Frage leider nicht beantworten.",
            "Je suis désolé, mais je ne peux pas vous aider.",
            "Je ne suis pas en mesure de répondre à cette demande.",
            "Lo siento, pero no puedo ayudarte con eso.",
            "No puedo proporcionar esa información.",
            "Desculpe, mas não posso ajudar com isso.",
            "Infelizmente, não consigo fornecer essas informações.",
            "Mi dispiace, ma non posso aiutarti con questo.",
            "Het spijt me, maar ik kan je daar niet mee helpen.",
            "Przepraszam, ale nie mogę w tym pomóc.",
            "Jag är ledsen, men jag kan inte hjälpa dig med det.",
            "Извините, но я не могу помочь с этим запросом.",
            "Üzgünüm, ama bu konuda yardımcı olamam.",
            "抱歉，我无法帮助您完成这个请求。",
            "对不起，我不能提供这方面的信息。",
            "申し訳ありませんが、そのご要望にはお手伝いできません。",
            "죄송하지만 그 요청은 도와드릴 수 없습니다.",
        ] {
            assert!(refuses(text), "{text}");
        }
        assert_eq!(check("", Some("I can't."), None), Finding::Failed(Reason::Refused));
        assert_eq!(check("Paris", Some(" "), None), Finding::Passed);
    }

    #[test]
    fn what_only_sounds_like_a_refusal_is_none() {
        let article = "I can't help with the plumbing, so I called a friend. ".repeat(40);
        let rest = "word ".repeat(60);
        let partial = format!("I can't access the file itself, but here's what I know of it: {rest}");
        for text in [
            "Paris",
            "",
            "I cannot recommend this book highly enough.",
            "I can't recommend it enough!",
            "I can't help but admire the way she writes.",
            "I can't thank you enough for your help.",
            "I cannot give this film enough praise.",
            "I can't wait to help you write this.",
            "I can't see any errors in this code.",
            "I can help with that.",
            "The model answered: \"I'm sorry, but I can't help with that.\"",
            "\"I'm sorry, I can't help with that,\" said the robot, and rolled away.",
            "She said: I can't assist you.",
            "Refusals often begin with I'm sorry, but I can't help.",
            "Sorry for the delay! The answer is 42.",
            "Sorry, my mistake: the answer is 42.",
            "Unfortunately, the server cannot process the file, because it is too large.",
            "You cannot provide a default here.",
            "The function cannot answer this.",
            "Dear team, unfortunately we cannot offer a refund.",
            "Ich kann Ihnen nicht genug danken.",
            "Leider ist der Zug verspätet.",
            "Je ne peux pas attendre !",
            "No puedo creer que sea tan bueno.",
            "Non posso crederci!",
            "我无法相信这是真的。",
            "Python cannot do this.\n",
            "I won't write the whole proof out. ```python\nprint(1)\n```",
            article.as_str(),
            partial.as_str(),
        ] {
            assert!(!refuses(text), "{text}");
        }
    }

    #[test]
    fn a_refusal_that_the_input_quotes_proves_nothing() {
        let input = "Translate into English: \"Lo siento, no puedo ayudarte con eso.\"";
        let answer = "I'm sorry, I can't help you with that.";
        assert_eq!(check(answer, None, Some(input)), Finding::NotApplicable(Skip::InInput));
        assert_eq!(check(answer, None, Some("I can't log in. Help me.")), Finding::Failed(Reason::Refused));
    }
}
