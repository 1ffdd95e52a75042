use std::time::Duration;

use kalibr_engine::{Config, Engine, EngineConfig, Home};
use kalibr_server::{ServeError, Server, ServerConfig};
use serde_json::json;

use crate::kalibr::Kalibr;
use crate::provider::{Provider, Script};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_request_in_flight_finish_and_takes_no_more() {
    let slow = Script {
        pieces: vec![String::new(), Script::answer("200 OK", "", r#"{"choices":[{}]}"#).pieces.remove(0)],
        pause: Duration::from_millis(400),
    };
    let provider = Provider::start(&[("m", slow)]).await;
    let kalibr = Kalibr::with_paths(&provider.config(), json!(["raw/m"])).await;
    let client = kalibr.client.clone();
    let asking = tokio::spawn(async move {
        let body = json!({ "model": "goal:g", "messages": [{ "role": "user", "content": "?" }] });
        client.post("/v1/chat/completions", body).await
    });
    while provider.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (running, engine, _folder) = kalibr.stop();
    assert_eq!(asking.await.unwrap().status, 200);
    assert!(running.await.unwrap(), "everything could finish");
    assert!(engine.close(Duration::from_secs(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_could_reach_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let config = EngineConfig::new(Home::at(folder.path()), &Config::default(), &|_| None).unwrap();
    let engine = Engine::open(config).unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8600", "[::ffff:192.0.2.1]:8600"] {
        let config = ServerConfig { listen: address.parse().unwrap(), ..ServerConfig::default() };
        let error = Server::bind(engine.clone(), config).await.unwrap_err();
        assert!(matches!(error, ServeError::NotLoopback(_)));
        assert!(error.to_string().contains("proxy with authentication"), "{error}");
    }
    let first = ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), ..ServerConfig::default() };
    let first = Server::bind(engine.clone(), first).await.unwrap();
    let second = ServerConfig { listen: first.addr(), ..ServerConfig::default() };
    let error = Server::bind(engine, second).await.unwrap_err();
    assert!(error.to_string().contains("choose another port"), "{error}");
}
