//! What the documentation says of itself: the tests that it names are there, and the files that it links to.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<PathBuf> {
    let pages = fs::read_dir(root().join("docs")).expect("the documentation is there");
    let mut pages: Vec<PathBuf> = pages.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    assert!(!pages.is_empty());
    pages
}

/// The label and target of each inline link of a page.
fn links(text: &str) -> Vec<(&str, &str)> {
    let mut links = Vec::new();
    for (at, _) in text.match_indices("](") {
        let label = text[..at].rfind('[').map_or("", |open| &text[open + 1..at]);
        let target = text[at + 2..].split(')').next().unwrap_or_default();
        links.push((label, target));
    }
    links
}

#[test]
fn every_link_to_a_file_leads_somewhere_and_every_test_named_is_there() {
    let mut named = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (label, target) in links(&text).into_iter().filter(|(_, target)| !target.contains("://")) {
            let (file, _) = target.split_once('#').unwrap_or((target, ""));
            if file.is_empty() {
                continue;
            }
            let file = page.parent().unwrap().join(file);
            assert!(file.exists(), "{}: there is no {target}", page.display());
            let Some(test) = label.strip_prefix('`').and_then(|label| label.strip_suffix('`')) else {
                continue;
            };
            let is_source = file.extension().is_some_and(|extension| extension == "rs" || extension == "py");
            if is_source {
                let source = fs::read_to_string(&file).unwrap();
                let there = [format!("fn {test}("), format!("def {test}(")];
                assert!(
                    there.iter().any(|start| source.contains(start)),
                    "{}: no test {test} in {target}",
                    page.display()
                );
                named += 1;
            }
        }
    }
    assert!(named > 10, "only {named} tests are named");
}

#[test]
fn every_statement_of_the_pages_on_signals_and_privacy_names_a_test_or_a_measurement() {
    for page in ["what-changes-after-signals-arrive.md", "privacy.md"] {
        let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
        for statement in text.split("\n\n").filter(|paragraph| paragraph.starts_with("**")) {
            let held =
                ["Test: [`", "Tests: [`", "Measured in"].iter().any(|holder| statement.contains(holder));
            assert!(held, "{page}: nothing holds this: {statement}");
        }
    }
}
