//! `kalibr serve`: the gateway until it is told to stop.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use kalibr_engine::core::ids::Goal;
use kalibr_engine::{Engine, EngineConfig, Home, PathUpdate};
use kalibr_server::{Server, ServerConfig};

/// How long what is queued may take to be written at the end.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn serve(listen: Option<&str>, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let home = Home::from_env(&crate::env)?;
    let config = crate::config(&home, file)?;
    let mut server_config = ServerConfig::from_table(config.server.clone())?;
    if let Some(listen) = listen {
        server_config.listen = listen.parse().map_err(|_| {
            anyhow::anyhow!("{listen:?} is no address to listen on: write one like 127.0.0.1:8600")
        })?;
    }
    let folder = home.path().display().to_string();
    let engine = Engine::open(EngineConfig::new(home, &config, &crate::env)?)?;
    for (name, goal) in &config.goals {
        engine.put_goal(&Goal::new(name)?, &goal.settings(), &goal.paths, PathUpdate::Replace)?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let server = Server::bind(engine.clone(), server_config).await?;
        writeln!(std::io::stdout(), "kalibr is ready at http://{} (data in {folder})", server.addr())?;
        if !server.run(stopped()).await {
            tracing::warn!(
                "some requests were cut off: they took longer than the server waits for when it stops"
            );
        }
        anyhow::Ok(())
    })?;
    if engine.close(PATIENCE) {
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::bail!("the ledger could not be written in time; the last decisions may be missing from it")
}

/// Until Ctrl-C, or the signal by which a supervisor ends a service.
pub(crate) async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
