//! New requests with something pasted: "fix this error: ...", "the customer wrote '...': draft a reply".
//!
//! What is pasted may curse, and people ask for help with what failed elsewhere, so a complaint in it says nothing of the
//! answer. Such a message asserts no rejection, unless the words around the paste speak of the answer ("still", "your").

use super::page::Page;
use super::weigh::weigh;
use super::words::Clause;

/// What asks for work on something, as the first word of a clause after [`LEADS`], or as its last where verbs come last.
#[rustfmt::skip]
const TASKS: &[&str] = &[
    "fix", "explain", "translate", "summarize", "summarise", "write", "rewrite", "rephrase", "reword", "draft", "reply",
    "respond", "answer", "classify", "proofread", "correct", "debug", "solve", "analyze", "analyse", "review", "refactor",
    "format", "convert", "describe", "interpret", "compare", "extract", "label", "improve", "paraphrase", "simplify",
    "edit", "check", "test", "document", "optimize", "complete", "continue", "find", "list", "give", "make", "create",
    "what", "why", "how", "who", "which", "where", "is", "does", "should",
    "behebe", "erklare", "erklar", "ubersetze", "ubersetz", "schreibe", "schreib", "fasse", "antworte", "korrigiere",
    "analysiere", "verbessere", "formuliere", "was", "warum", "wie",
    "corrige", "explique", "expliquez", "traduis", "traduisez", "resume", "redige", "redigez", "ecris", "reponds",
    "analyse", "reformule", "pourquoi", "comment", "que", "quest",
    "arregla", "explica", "traduce", "resuma", "escribe", "redacta", "responde", "analiza", "reescribe", "por", "como",
    "corrija", "explique", "traduza", "resumo", "escreva", "redija", "responda", "analise", "reescreva", "conserte",
    "correggi", "spiega", "traduci", "riassumi", "scrivi", "rispondi", "analizza", "riscrivi", "perche", "come",
    "verbeter", "herstel", "vertaal", "schrijf", "vat", "beantwoord", "analyseer", "herschrijf", "leg", "waarom", "hoe",
    "napraw", "wyjasnij", "przetlumacz", "stresc", "napisz", "odpowiedz", "popraw", "dlaczego", "jak", "co",
    "исправь", "исправьте", "объясни", "объясните", "переведи", "переведите", "напиши", "напишите", "ответь", "перескажи",
    "проверь", "почему", "как", "что",
    "duzelt", "acikla", "cevir", "ozetle", "yaz", "yanitla", "cevapla", "neden", "nasil", "nedir",
    "اشرح", "ترجم", "لخص", "اكتب", "صحح", "اصلح", "حلل", "لماذا", "كيف", "ماذا",
    "समझाओ", "समझाइए", "लिखो", "लिखिए", "करो", "करें", "बताओ", "बताइए", "दो",
];

/// The same in scripts without spaces, anywhere in a clause.
#[rustfmt::skip]
const RUNNING_TASKS: &[&str] = &[
    "翻译", "解释", "修复", "总结", "帮我", "写一", "回复", "润色", "翻訳", "説明", "要約", "修正して", "書いて", "直して", "返信",
    "번역", "설명", "요약", "고쳐", "써줘", "써 줘", "작성", "답장",
];

/// Words before the verb.
#[rustfmt::skip]
const LEADS: &[&str] = &[
    "please", "pls", "can", "could", "would", "you", "help", "me", "to", "and", "now", "then", "ok", "okay", "hi", "hello",
    "hey", "so", "next", "great", "thanks", "also", "i", "need", "want", "us", "lets",
    "bitte", "kannst", "du", "mir", "und", "jetzt", "peux", "tu", "et", "puedes", "y", "por", "favor", "voce", "pode", "e",
    "puoi", "per", "favore", "kun", "je", "en", "prosze", "mozesz", "i", "пожалуйста", "можешь", "и", "lutfen", "من", "فضلك",
];

/// Objects that are the answer itself.
const ANSWER: &[&str] = &["it", "that", "them", "this", "again"];

/// Words around a paste that speak of what came before.
#[rustfmt::skip]
const REFERS: &[&str] = &[
    "still", "again", "same", "your", "youre", "yours", "youve", "wrong", "incorrect", "doesnt", "didnt", "isnt", "wasnt",
    "wont", "cant", "not", "no", "nope", "instead", "but", "keeps", "keep", "anymore",
    "immer", "noch", "wieder", "dein", "deine", "falsch", "nicht", "encore", "toujours", "ton", "ta", "votre", "pas",
    "otra", "sigue", "tu", "su", "mal", "ainda", "seu", "sua", "errado", "ancora", "tuo", "tua", "sbagliato", "nog",
    "jouw", "fout", "niet", "nadal", "znowu", "twoj", "twoja", "zle", "снова", "опять", "твой", "твоя", "ваш", "не", "hala",
    "yine", "senin", "yanlis", "مازال", "زال", "ردك", "اجابتك", "फिर", "अभी", "आपका", "तुम्हारा",
];

/// Whether a message asks for work on something that it brings along, and says nothing of the answer itself.
pub(super) fn is_new(page: &Page, clauses: &[Clause]) -> bool {
    let Some(first) = clauses.first() else { return false };
    // Behind "translate this:" all is material, to the end of the message.
    let asks_ahead = asks(first) && clauses.get(1).is_some_and(|clause| clause.after_colon);
    let own: Vec<&Clause> =
        if asks_ahead { vec![first] } else { clauses.iter().filter(|clause| !clause.after_colon).collect() };
    let brings = own.len() < clauses.len()
        || page.code + page.errors + page.traces > 0
        || page.fenced
        || clauses.iter().any(|clause| clause.beside_quotation);
    brings
        && own.iter().any(|clause| asks(clause))
        && !own.iter().flat_map(|clause| &clause.words).any(|word| REFERS.contains(&word.as_str()))
        && own.iter().filter(|clause| !asks(clause)).all(|clause| is_calm(clause))
}

fn asks(clause: &Clause) -> bool {
    let words: Vec<&str> = clause.words.iter().map(String::as_str).collect();
    if words.iter().any(|word| RUNNING_TASKS.iter().any(|task| word.contains(task))) {
        return true;
    }
    let lead = words.iter().take_while(|word| LEADS.contains(word)).count();
    let helps = words[..lead].contains(&"help");
    match words[lead..] {
        [verb] => lead > 0 && TASKS.contains(&verb),
        [verb, object] if TASKS.contains(&verb) => {
            helps || !ANSWER.contains(&object) || clause.beside_quotation
        }
        [verb, object, ..] if TASKS.contains(&verb) => helps || !["it", "that", "again"].contains(&object),
        [.., last] => !last.is_ascii() && TASKS.contains(&last),
        [] => false,
    }
}

/// Whether the phrases of a clause find no fault.
fn is_calm(clause: &Clause) -> bool {
    weigh(std::slice::from_ref(clause)).complaint == 0.0
}

#[cfg(test)]
mod tests {
    use kalibr_core::evidence::Value;

    use crate::turn::{Before, classify};

    /// Those of these messages that assert a rejection, or that do not.
    fn rejecting(messages: &[&'static str], rejects: bool) -> Vec<&'static str> {
        let asserts =
            |message: &str| classify(message, &Before::default()).asserted == Some(Value::Rejection);
        messages.iter().copied().filter(|message| asserts(message) == rejects).collect()
    }

    #[test]
    fn a_new_request_with_something_pasted_is_no_rejection() {
        let misread = rejecting(
            &[
                "fix this error: TypeError: 'NoneType' object is not subscriptable",
                "Fix this error: error[E0382]: borrow of moved value: `s`",
                "Can you help me fix this: npm ERR! code ERESOLVE",
                "Debug the following error: Segmentation fault (core dumped)",
                "what does this error mean: permission denied",
                "Traceback (most recent call last):\n  File \"a.py\", line 3\nKeyError: 'id'\nWhat does this error mean?",
                "here is the code\n```\nx = f(1) # wrong\n```\nexplain it",
                "Here is my code:\ndef f(x):\n    return x  # this is wrong\nwhat does it do?",
                "Write a test for this function:\ndef wrong(x):\n    raise ValueError('bad')",
                "The customer said: 'this is terrible'. Write a reply",
                "My boss wrote: \"this is useless, do it again\". How do I answer?",
                "Translate into French: this is wrong",
                "Please proofread: 'The answer is incorrect and the work is bad'",
                "Classify the sentiment: I hate this product, it broke after a day",
                "Behebe diesen Fehler: NameError: name 'x' is not defined",
                "Der Kunde schrieb: 'das ist furchtbar'. Schreibe eine Antwort",
                "Explique cette erreur : SyntaxError: invalid syntax",
                "Traduis en anglais : « c'est faux »",
                "El cliente dijo: 'esto es terrible'. Escribe una respuesta",
                "Spiega questo errore: KeyError: 'nome'",
                "Объясни эту ошибку: TypeError: x is not a function",
                "これを翻訳して：「これは間違っています」",
                "解释这个错误：NameError: name 'x' is not defined",
            ],
            true,
        );
        assert!(misread.is_empty(), "{misread:#?}");
    }

    #[test]
    fn a_complaint_that_quotes_the_answer_or_pastes_an_error_is_still_one() {
        let misread = rejecting(
            &[
                "you wrote 'the capital is Sydney', that's wrong",
                "your code gives this error: KeyError: 'id'",
                "I still get TypeError: 'NoneType' object is not subscriptable",
                "still the same error: KeyError: 'id'",
                "Fix this, it still throws KeyError: 'id'",
                "that fix fails: NameError: name 'x' is not defined",
                "the line `x = 1` is wrong, fix it",
            ],
            false,
        );
        assert!(misread.is_empty(), "{misread:#?}");
    }
}
