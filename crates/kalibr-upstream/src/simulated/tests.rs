use kalibr_core::outcome::FailureCategory;
use kalibr_core::path::PathSpec;

use crate::client::Upstream;
use crate::config::ProvidersConfig;
use crate::providers::Providers;
use crate::request::ChatRequest;
use crate::stream::Ending;

use super::*;

fn upstream(models: &str) -> Upstream {
    let text = format!("[providers.lab]\nkind = \"simulated\"\nseed = 7\n{models}");
    let config: ProvidersConfig = toml::from_str(&text).unwrap();
    Upstream::new(Providers::new(&config, &|_| None).unwrap())
}

async fn ask(upstream: &Upstream, model: &str) -> Result<String, Failure> {
    let target = upstream.resolve(model).unwrap();
    let request =
        ChatRequest::parse(br#"{"model":"goal:g","messages":[{"role":"user","content":"hi"}]}"#).unwrap();
    let request = request.apply(&PathSpec::model(model).unwrap(), &target.model);
    let answer = upstream.chat(&target, &request).await?;
    assert_eq!(answer.usage.unwrap().completion_tokens, 40);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    Ok(body["choices"][0]["message"]["content"].as_str().unwrap().to_owned())
}

async fn share_of_good(upstream: &Upstream, model: &str) -> f64 {
    let mut good = 0;
    for _ in 0..1000 {
        good += u32::from(is_good(&ask(upstream, model).await.unwrap()));
    }
    f64::from(good) / 1000.0
}

#[tokio::test]
async fn the_share_of_good_answers_is_the_quality_and_follows_it_when_it_changes() {
    let upstream = upstream("models.a = { quality = 0.8 }");
    assert!((share_of_good(&upstream, "lab/a").await - 0.8).abs() < 0.05);
    let handle = upstream.providers().simulated("lab").unwrap();
    handle.set_quality("a", 0.2).unwrap();
    assert!((share_of_good(&upstream, "lab/a").await - 0.2).abs() < 0.05);
    assert_eq!(handle.set_quality("a", 1.5), Err(BadChange::BadChance));
    assert_eq!(handle.set_quality("b", 1.0), Err(BadChange::NoSuchModel("b".into())));
    assert_eq!(handle.model("a").unwrap().quality, 0.2);
}

#[tokio::test]
async fn equal_seeds_give_equal_answers_whatever_the_other_models_do() {
    let models = "models.a = { quality = 0.5 }\nmodels.b = { quality = 0.5 }";
    let (one, two) = (upstream(models), upstream(models));
    let mut different = false;
    for _ in 0..50 {
        let b = ask(&two, "lab/b").await.unwrap();
        let a = ask(&two, "lab/a").await.unwrap();
        different |= a != b;
        assert_eq!(ask(&one, "lab/a").await.unwrap(), a);
    }
    assert!(different);
}

#[tokio::test]
async fn failures_and_unknown_models_look_like_a_providers() {
    let upstream = upstream("models.a = { failure_rate = 1.0 }");
    let failure = ask(&upstream, "lab/a").await.unwrap_err();
    assert_eq!((failure.category, failure.status), (FailureCategory::ProviderError, Some(500)));
    let failure = ask(&upstream, "lab/zzz").await.unwrap_err();
    assert_eq!((failure.category, failure.status), (FailureCategory::ProviderError, Some(404)));
}

#[tokio::test]
async fn a_model_that_takes_longer_than_the_time_limit_times_out() {
    let upstream = upstream("timeout_ms = 20\nmodels.a = { latency_ms = 60000 }");
    assert_eq!(ask(&upstream, "lab/a").await.unwrap_err().category, FailureCategory::Timeout);
}

#[tokio::test]
async fn a_stream_has_the_same_text_and_shows_usage_only_to_who_asked() {
    let upstream = upstream("models.a = { }");
    let target = upstream.resolve("lab/a").unwrap();
    for (options, shown) in [("", false), (r#","stream_options":{"include_usage":true}"#, true)] {
        let body = format!(r#"{{"model":"g","messages":[1],"stream":true{options}}}"#);
        let request = ChatRequest::parse(body.as_bytes()).unwrap();
        let request = request.apply(&PathSpec::model("lab/a").unwrap(), &target.model);
        let mut stream = upstream.chat_stream(&target, &request).await.unwrap();
        let mut text = String::new();
        while let Some(bytes) = stream.next().await {
            text += std::str::from_utf8(&bytes).unwrap();
        }
        let end = stream.finish();
        assert_eq!(end.ending, Ending::Completed);
        assert_eq!(end.usage.unwrap().prompt_tokens, 20);
        assert_eq!(text.contains("prompt_tokens"), shown);
        assert!(text.ends_with("data: [DONE]\n\n"));
        let content: String = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
            .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect();
        assert!(is_good(&content), "{content}");
    }
}
