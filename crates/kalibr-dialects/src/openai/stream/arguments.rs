//! Whether a call's arguments are complete, told while they arrive and without holding them.

/// Follows the brackets of a JSON object.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Arguments {
    depth: u32,
    began: bool,
    in_text: bool,
    escaped: bool,
}

impl Arguments {
    pub(super) fn push(&mut self, more: &str) {
        for byte in more.bytes() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => {
                    self.began = true;
                    self.depth = self.depth.saturating_add(1);
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    pub(super) fn are_complete(self) -> bool {
        self.began && self.depth == 0 && !self.in_text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_complete_at_its_last_bracket_wherever_it_is_cut() {
        let text = r#" {"a": ["}", "\"}", {"é": 1}], "b": "\\"} "#;
        let last = text.rfind('}').unwrap();
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            let mut arguments = Arguments::default();
            arguments.push(&text[..cut]);
            assert_eq!(arguments.are_complete(), cut > last, "{cut}");
            arguments.push(&text[cut..]);
            assert!(arguments.are_complete());
        }
        assert!(!Arguments::default().are_complete());
    }
}
