//! SQL, in whichever dialect takes it.
//!
//! There is no one SQL, so code parses where one of the common dialects parses it. This is `sqlparser` and no tree-sitter
//! grammar: of 38 everyday statements of six databases it takes 37, and `tree-sitter-sequel`, the maintained one, 26.

use sqlparser::dialect::{
    BigQueryDialect, Dialect, GenericDialect, MsSqlDialect, MySqlDialect, PostgreSqlDialect,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::Parsed;
use crate::verdict::Skip;

/// The generic dialect takes what most have in common and more, SQLite's too; the others have what it does not know.
const DIALECTS: [&dyn Dialect; 5] =
    [&GenericDialect {}, &PostgreSqlDialect {}, &MySqlDialect {}, &MsSqlDialect {}, &BigQueryDialect {}];

/// Most tokens of one statement. A chain of operators becomes a tree as deep as it is long, and to free one takes stack.
const TOKENS: usize = 4_000;

/// What a statement begins with, where it stands in no fence: "call me (maybe)" is none.
const VERBS: [&str; 11] =
    ["select", "with", "insert", "update", "delete", "create", "alter", "drop", "merge", "grant", "truncate"];

pub(super) fn parse(code: &str) -> Parsed {
    // A word to the client, not to the database: what follows is cut at other signs.
    if code
        .lines()
        .any(|line| line.trim_start().get(..9).is_some_and(|word| word.eq_ignore_ascii_case("delimiter")))
    {
        return Parsed::Skipped(Skip::NotKnown);
    }
    for dialect in DIALECTS {
        let Ok(tokens) = Tokenizer::new(dialect, code).tokenize() else { continue };
        let is_long = |statement: &[Token]| {
            statement.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count() > TOKENS
        };
        if tokens.split(|token| *token == Token::SemiColon).any(is_long) {
            return Parsed::Skipped(Skip::TooLarge);
        }
        if let Ok(statements) = Parser::new(dialect).with_tokens(tokens).parse_statements() {
            let first =
                code.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
            let acts = VERBS.iter().any(|verb| first.eq_ignore_ascii_case(verb));
            return Parsed::Fine { acts: acts && !statements.is_empty() };
        }
    }
    Parsed::Broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyday_statements_of_six_databases_parse() {
        for code in [
            "SELECT u.id, ROW_NUMBER() OVER (PARTITION BY u.dept ORDER BY u.pay DESC) AS rn FROM users u;",
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT sum(n) FROM t",
            "SELECT date_trunc('month', at)::date, sum(x) FILTER (WHERE ok) FROM o WHERE at >= now() - INTERVAL '30 days' GROUP BY 1",
            "SELECT data->>'name', tags @> ARRAY['x'] FROM docs WHERE name ~* '^a'",
            "INSERT INTO t (a, b) VALUES (1, 'x') ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b RETURNING *;",
            "SELECT DATE_SUB(CURDATE(), INTERVAL 7 DAY), `order`.`id` FROM `order` LIMIT 5, 10;",
            "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, KEY k (name)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;",
            "SELECT TOP 10 [name], GETDATE() FROM [dbo].[users] WITH (NOLOCK) WHERE [age] > 3;",
            "DECLARE @x INT = 3;\nSELECT @x;",
            "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT NOT NULL) STRICT, WITHOUT ROWID;",
            "SELECT * FROM `proj.ds.table` WHERE _PARTITIONTIME > TIMESTAMP('2024-01-01')",
            "SELECT a, b FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) = 1",
            "CREATE FUNCTION f(a int) RETURNS int AS $$\nBEGIN\n  RETURN a;\nEND;\n$$ LANGUAGE plpgsql;",
            "-- a comment\nUPDATE users SET active = false WHERE seen < '2020-01-01';\nDELETE FROM sessions;",
        ] {
            assert!(matches!(parse(code), Parsed::Fine { .. }), "{code}");
        }
    }

    #[test]
    fn slips_are_found() {
        for code in [
            "SELECT FROM WHERE;",
            "SELECT * FORM users;",
            "SELECT a, FROM t GROUP;",
            "INSERT INTO t VALUES (1, 2;",
            "SELECT count( FROM t;",
            "SELECT * FROM users WHERE name = 'x",
            "Here is the query you asked for.",
        ] {
            assert_eq!(parse(code), Parsed::Broken, "{code}");
        }
    }

    #[test]
    fn the_longest_chain_that_is_parsed_leaves_stack_enough_for_a_thread() {
        let chain = |operators: usize| format!("SELECT {}1", "1 + ".repeat(operators));
        assert!(matches!(parse(&chain(TOKENS / 2 - 2)), Parsed::Fine { acts: true }));
        assert_eq!(parse(&chain(TOKENS)), Parsed::Skipped(Skip::TooLarge));
        assert_eq!(parse("DELIMITER //\nSELECT 1//"), Parsed::Skipped(Skip::NotKnown));
    }
}
