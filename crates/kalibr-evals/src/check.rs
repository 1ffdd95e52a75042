//! Holding an answer against a contract.

use std::cell::OnceCell;

use crate::answer::{Answer, Finish};
use crate::contract::Contract;
use crate::json::{self, Found};
use crate::limits;
use crate::rows::{self, Rows};
use crate::spec::{JsonForm, ToolUse};
use crate::text::{is_one_of, within, words};
use crate::verdict::{Check, Finding, Reason, Skip, Verdict};
use crate::{code, copy, error_text, number, refusal, sections, tools};

impl Contract {
    /// Holds an answer against the contract. The same answer always gets the same verdict; how much work it may take is
    /// bounded by [`limits`].
    ///
    /// Where the model calls tools, what it says besides is not the answer: checks of the text are not applicable then.
    pub fn check(&self, answer: &Answer<'_>) -> Verdict {
        let mut findings = Vec::with_capacity(8);
        let mut add = |check: Check, finding: Finding| findings.push((check, finding));
        let text = answer.text.unwrap_or_default();
        let calls_tools = !answer.tool_calls.is_empty();
        if self.non_empty {
            let refusal = answer.refusal.unwrap_or_default();
            let is_empty = text.trim().is_empty() && refusal.trim().is_empty() && !calls_tools;
            add(Check::NonEmpty, Finding::unless(is_empty, Reason::Empty));
        }
        if self.complete {
            add(Check::Complete, complete(answer.finish));
        }
        if self.tools != ToolUse::Any {
            add(Check::Tools, tools::check(answer, self.tools));
        }
        let skip = if calls_tools {
            Some(Skip::ToolCalls)
        } else {
            (text.len() > limits::TEXT).then_some(Skip::TooLarge)
        };
        let reading = Reading::new(self, answer, text);
        for (check, judge) in self.of_text() {
            add(check, skip.map_or_else(|| judge(self, &reading), Finding::NotApplicable));
        }
        Verdict::new(findings)
    }

    /// The checks of the text that the contract asks for, cheapest first.
    fn of_text(&self) -> impl Iterator<Item = (Check, Judge)> {
        let all: [(bool, Check, Judge); 18] = [
            (self.no_refusal, Check::NoRefusal, |_, r| {
                refusal::check(r.text, r.answer.refusal, r.answer.input)
            }),
            (self.no_error, Check::NoError, |_, r| error_text::check(r.text)),
            (self.chars.is_some(), Check::Chars, |c, r| {
                within(r.text.trim().chars().count() as u64, c.chars.unwrap_or_default())
            }),
            (self.words.is_some(), Check::Words, |c, r| within(words(r.text), c.words.unwrap_or_default())),
            (self.json, Check::Json, |_, r| r.json().finding()),
            (self.schema.is_some(), Check::JsonSchema, |c, r| r.fits(c)),
            (self.rows.is_some(), Check::Rows, |c, r| rows::check(r.rows(), &c.rows.unwrap_or_default())),
            (self.fewer_nulls, Check::FewerNulls, |_, r| {
                rows::fewer_nulls(r.rows(), r.input_rows().as_ref())
            }),
            (self.labels.is_some(), Check::Labels, |c, r| {
                is_one_of(r.text, c.labels.as_deref().unwrap_or_default())
            }),
            (self.number.is_some(), Check::Number, |c, r| {
                number::check(r.text, &c.number.unwrap_or_default())
            }),
            (!self.regex.is_empty(), Check::Regex, |c, r| {
                Finding::unless(!c.regex.iter().all(|regex| regex.is_match(r.text)), Reason::PatternMissing)
            }),
            (!self.regex_absent.is_empty(), Check::RegexAbsent, |c, r| {
                Finding::unless(
                    c.regex_absent.iter().any(|regex| regex.is_match(r.text)),
                    Reason::PatternFound,
                )
            }),
            (!self.sections.is_empty(), Check::Sections, |c, r| sections::has_all(r.text, &c.sections)),
            (self.language.is_some(), Check::Language, |c, r| {
                c.language.as_ref().map_or(Finding::Passed, |language| language.check(r.text))
            }),
            (self.max_copy.is_some(), Check::Copy, |c, r| {
                copy::check(r.text, r.answer.input, c.max_copy.unwrap_or(1.0))
            }),
            (self.compression.is_some(), Check::Compression, |c, r| {
                copy::compression(r.text, r.answer.input, c.compression.unwrap_or_default())
            }),
            (self.code.is_some(), Check::Code, |c, r| {
                c.code.as_ref().map_or(Finding::Passed, |wanted| code::check(r.text, wanted))
            }),
            (self.fences_parse, Check::Fences, |_, r| code::check_fences(r.text)),
        ];
        all.into_iter().filter(|(asked, ..)| *asked).map(|(_, check, judge)| (check, judge))
    }
}

type Judge = fn(&Contract, &Reading<'_>) -> Finding;

const fn complete(finish: Finish) -> Finding {
    match finish {
        Finish::Stop | Finish::ToolCalls => Finding::Passed,
        Finish::Length => Finding::Failed(Reason::Truncated),
        Finish::ContentFilter => Finding::Failed(Reason::ContentFiltered),
        Finish::Unknown => Finding::NotApplicable(Skip::NotKnown),
    }
}

/// An answer while it is read: what several checks need is found once.
struct Reading<'a> {
    answer: &'a Answer<'a>,
    text: &'a str,
    form: JsonForm,
    json: OnceCell<Found>,
    rows: OnceCell<Option<Rows>>,
}

impl<'a> Reading<'a> {
    fn new(contract: &Contract, answer: &'a Answer<'a>, text: &'a str) -> Self {
        Self { answer, text, form: contract.form, json: OnceCell::new(), rows: OnceCell::new() }
    }

    fn json(&self) -> &Found {
        self.json.get_or_init(|| json::find(self.text, self.form))
    }

    fn rows(&self) -> Option<&Rows> {
        let rows = || match self.json() {
            // Rows are looked for, not asked for: there a fence does no harm.
            Found::NotJson => Rows::of(self.text, &json::find(self.text, JsonForm::Fenced)),
            found => Rows::of(self.text, found),
        };
        self.rows.get_or_init(rows).as_ref()
    }

    fn input_rows(&self) -> Option<Rows> {
        let input = self.answer.input.filter(|input| input.len() <= limits::JSON)?;
        let found = json::find(input, JsonForm::Fenced);
        if !matches!(found, Found::NotJson) {
            return Rows::of(input, &found);
        }
        // "Fill the gaps: [{...}]"
        let list = input.get(input.find(['[', '{'])?..=input.rfind([']', '}'])?)?;
        Rows::of(list, &json::parse(list))
    }

    fn fits(&self, contract: &Contract) -> Finding {
        let Some(schema) = &contract.schema else { return Finding::Passed };
        match self.json() {
            Found::Json(json) => match schema.fits(json) {
                Some(fits) => Finding::unless(!fits, Reason::SchemaMismatch),
                None => Finding::NotApplicable(Skip::TooLarge),
            },
            // Where JSON is asked for by itself, that check has said so.
            Found::NotJson if contract.json => Finding::NotApplicable(Skip::Nothing),
            other => other.finding(),
        }
    }
}
