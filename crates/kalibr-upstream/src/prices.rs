//! What models cost: as configured, or else by a snapshot of list prices (`list_prices.txt`).

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use kalibr_core::objective::Price;

use crate::providers::Providers;

/// What models cost, in dollars per million tokens. Nothing is learned: a new price acts at once.
#[derive(Debug, Clone)]
pub struct Prices {
    configured: BTreeMap<String, Price>,
    providers: Providers,
}

impl Prices {
    /// These prices, by model as paths name it or as `PROVIDER/MODEL`, and list prices for what they leave out.
    pub const fn new(configured: BTreeMap<String, Price>, providers: Providers) -> Self {
        Self { configured, providers }
    }

    /// The price of a model as a path names it; `None` where it is not known, which is never zero.
    ///
    /// ```
    /// use kalibr_upstream::{Prices, Providers, ProvidersConfig};
    ///
    /// let providers = Providers::new(&ProvidersConfig::default(), &|_| None).unwrap();
    /// let prices = Prices::new([].into(), providers);
    /// assert_eq!(prices.of("gpt-4o"), prices.of("openai/gpt-4o-2024-08-06"));
    /// assert_eq!(prices.of("ollama/llama3.2"), None);
    /// ```
    pub fn of(&self, model: &str) -> Option<Price> {
        if let Some(price) = self.configured.get(model) {
            return Some(*price);
        }
        // Whose model it is may be known where it cannot be called (yet).
        let full = match self.providers.resolve(model) {
            Ok(target) => {
                // One provider under two names.
                let name = target.provider.name();
                format!("{}/{}", if name == "gemini" { "google" } else { name }, target.model)
            }
            Err(_) => model.to_owned(),
        };
        let listed = |name: &str| LIST.get(name).copied();
        self.configured.get(&full).copied().or_else(|| listed(&full)).or_else(|| listed(undated(&full)?))
    }
}

static LIST: LazyLock<HashMap<&'static str, Price>> = LazyLock::new(|| {
    let row = |line: &'static str| {
        let mut words = line.split(' ');
        let (model, input, output) = (words.next()?, words.next()?, words.next()?);
        Some((model, Price { input: input.parse().ok()?, output: output.parse().ok()? }))
    };
    include_str!("list_prices.txt").lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
});

/// A model's name without the date that providers add to it: `-2024-08-06` or `-20240806`. `None` without one.
pub fn undated(model: &str) -> Option<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    [("-dddd-dd-dd".len(), 2), ("-dddddddd".len(), 0)].into_iter().find_map(|(length, dashes)| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(length)?)?;
        let date = date.strip_prefix('-')?;
        let fits = date.matches('-').count() == dashes && date.split('-').all(digits);
        (fits && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProvidersConfig;

    fn prices(configured: &[(&str, f64)]) -> Prices {
        let price = |&(model, input): &(&str, f64)| (model.to_owned(), Price { input, output: 1.0 });
        let config: ProvidersConfig =
            toml::from_str("[providers.lab]\nbase_url = \"http://127.0.0.1:1/v1\"").unwrap();
        Prices::new(configured.iter().map(price).collect(), Providers::new(&config, &|_| None).unwrap())
    }

    #[test]
    fn every_line_of_the_list_is_a_model_of_a_provider_and_a_price() {
        let lines = include_str!("list_prices.txt").lines().filter(|line| !line.starts_with('#')).count();
        assert!(LIST.len() == lines && lines > 50, "{} of {lines}", LIST.len());
        for (model, price) in LIST.iter() {
            assert!(model.contains('/') && price.problem().is_none() && price.output > 0.0, "{model}");
        }
    }

    #[test]
    fn a_configured_price_wins_under_either_spelling_of_the_model() {
        assert_eq!(prices(&[("openai/gpt-4o", 9.0)]).of("gpt-4o").unwrap().input, 9.0);
        assert_eq!(prices(&[("gpt-4o", 9.0)]).of("gpt-4o").unwrap().input, 9.0);
        assert_eq!(prices(&[("lab/own", 0.0)]).of("lab/own").unwrap().input, 0.0);
    }

    #[test]
    fn the_list_knows_a_dated_model_and_one_whose_provider_has_no_endpoint_yet_and_no_other() {
        let prices = prices(&[]);
        assert_eq!(prices.of("gpt-4o-mini-2024-07-18"), prices.of("openai/gpt-4o-mini"));
        assert!(prices.of("anthropic/claude-sonnet-4-5").is_some());
        assert_eq!(prices.of("gemini/gemini-2.5-flash"), prices.of("gemini-2.5-flash"));
        assert_eq!(prices.of("lab/gpt-4o"), None, "somebody else's model of the same name");
    }

    #[test]
    fn a_date_at_the_end_of_a_models_name_is_no_part_of_it() {
        for (model, name) in [
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("claude-3-5-haiku-20241022", Some("claude-3-5-haiku")),
            ("gpt-4o", None),
            ("gpt-4o-mini", None),
            ("-20241022", None),
            ("gpt-3.5-turbo-0125", None),
            ("模型-2024-08-06", Some("模型")),
            ("x模模模", None),
        ] {
            assert_eq!(undated(model), name, "{model}");
        }
    }
}
