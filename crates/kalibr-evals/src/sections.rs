//! The headings of a text.

use crate::text::normal;
use crate::verdict::{Finding, Reason};

/// Longer lines are no headings.
const LONGEST: usize = 200;

/// Whether the text has a heading for each of these names.
pub(crate) fn has_all(text: &str, names: &[String]) -> Finding {
    let mut missing: Vec<&String> = names.iter().collect();
    let mut lines = text.lines().map(str::trim).peekable();
    let mut in_fence = false;
    while let Some(line) = lines.next() {
        if line.starts_with("```") || line.starts_with("~~~") {
            in_fence = !in_fence;
        }
        if in_fence || line.is_empty() || line.len() > LONGEST {
            continue;
        }
        let underlined = lines.peek().is_some_and(|next| is_rule(next));
        if let Some(heading) = heading(line, underlined) {
            let heading = plain(heading);
            missing.retain(|name| **name != heading);
            if missing.is_empty() {
                return Finding::Passed;
            }
        }
    }
    Finding::unless(!missing.is_empty(), Reason::SectionMissing)
}

/// A rule below a line makes it a heading.
fn is_rule(line: &str) -> bool {
    line.len() >= 2 && (line.bytes().all(|b| b == b'=') || line.bytes().all(|b| b == b'-'))
}

/// What the line says, if it is a heading.
fn heading(line: &str, underlined: bool) -> Option<&str> {
    if let Some(rest) = line.strip_prefix('#') {
        let rest = rest.trim_start_matches('#');
        return rest.starts_with([' ', '\t']).then(|| rest.trim_end_matches('#'));
    }
    let lower = line.as_bytes();
    if lower.len() > 9
        && lower[0] == b'<'
        && lower[1].eq_ignore_ascii_case(&b'h')
        && lower[2].is_ascii_digit()
    {
        let (_, rest) = line.split_once('>')?;
        return rest.split('<').next();
    }
    let counted = after_number(line);
    for mark in ["**", "__"] {
        // "**Summary**", "**Summary:**", "**Summary**:", and "**Summary:** the text", as models write it.
        if let Some((bold, rest)) = counted.strip_prefix(mark).and_then(|rest| rest.split_once(mark)) {
            let alone = rest.trim_matches([':', ' ', '：']).is_empty();
            let introduces = bold.ends_with([':', '：']) || rest.starts_with([':', '：']);
            return (alone || introduces).then_some(bold);
        }
    }
    if let Some(rest) = line.strip_suffix([':', '：']) {
        return Some(rest);
    }
    // "1. Summary" may be an item of a list; to be taken for a missing heading would be worse.
    (underlined || counted.len() < line.len()).then_some(line)
}

/// Without a number before it: `1.`, `2)`, `IV.`.
fn after_number(line: &str) -> &str {
    let Some(end) = line.find(['.', ')']) else { return line };
    let (number, rest) = line.split_at(end);
    let is_number = (1..=4).contains(&number.len())
        && (number.bytes().all(|b| b.is_ascii_digit()) || number.bytes().all(|b| b"IVX".contains(&b)));
    let rest = rest.get(1..).unwrap_or_default();
    if is_number && rest.starts_with(' ') { rest.trim_start() } else { line }
}

fn plain(heading: &str) -> String {
    let heading = heading.trim().trim_matches(['*', '_', ' ']);
    let heading = after_number(heading).trim_matches([':', '：', ' ', '*', '_']);
    // An emoji before a heading is decoration.
    normal(heading.trim_start_matches(|c: char| !c.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_found_in_every_dress() {
        let names = [normal("Key Findings")];
        for text in [
            "# Key findings",
            "intro\n\n### 2. Key Findings ##\ntext",
            "**Key findings**\ntext",
            "**Key Findings:** three of them",
            "**Key findings**: three",
            "1. **Key findings**\n",
            "II. Key findings\n",
            "Key findings\n============",
            "KEY FINDINGS:\n- a",
            "<h2 class=\"x\">Key findings</h2>",
            "## 🔍 Key findings",
            "## *Key findings*",
        ] {
            assert_eq!(has_all(text, &names), Finding::Passed, "{text}");
        }
        for text in [
            "",
            "The key findings are these.",
            "#key findings",
            "```\n# Key findings\n```",
            "# Findings",
            "He said **key findings** matter",
        ] {
            assert_eq!(has_all(text, &names), Finding::Failed(Reason::SectionMissing), "{text}");
        }
    }

    #[test]
    fn all_sections_must_be_there() {
        let names = [normal("Summary"), normal("Sources")];
        assert_eq!(has_all("# Summary\nx\n# Sources\ny", &names), Finding::Passed);
        assert_eq!(has_all("# Summary\nx", &names), Finding::Failed(Reason::SectionMissing));
    }
}
