//! Processes under measurement: started, watched through /proc, ended with their owner.

use std::collections::HashMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How long a gateway may take until it listens: LiteLLM imports for a minute on a busy machine.
const START: Duration = Duration::from_mins(3);
/// The kernel's clock ticks of /proc: 100 a second on every Linux that people run.
const TICKS_A_SECOND: f64 = 100.0;

/// A child, ended when dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and nobody is left to be told.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts it with its words in `log`, and waits until it listens. `port` tells where from what it said so far.
    pub(crate) fn start(
        mut command: Command,
        log: &Path,
        port: impl Fn(&str) -> Option<u16>,
    ) -> anyhow::Result<(Self, u16)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut process = Self(command.spawn().with_context(|| format!("cannot start {name}"))?);
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(log).unwrap_or_default();
            if let Some(port) = port(&said)
                && TcpStream::connect(("127.0.0.1", port)).is_ok()
            {
                return Ok((process, port));
            }
            if let Some(status) = process.0.try_wait()? {
                anyhow::bail!("{name} ended with {status}; its last words: {}", end_of(&said));
            }
            anyhow::ensure!(
                begun.elapsed() < START,
                "{name} does not listen; its last words: {}",
                end_of(&said)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

fn end_of(said: &str) -> String {
    let lines: Vec<&str> = said.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

/// A port that is free now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// What a tree of processes has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Processor time, user and system, in seconds.
    pub(crate) cpu: f64,
    /// Resident memory in MB.
    pub(crate) resident: f64,
}

/// What a process and its descendants have used until now.
pub(crate) fn used(root: u32) -> Used {
    let mut parents = HashMap::new();
    let mut ticks = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some((parent, spent)) = read_stat(&stat) {
            parents.insert(id, parent);
            ticks.insert(id, spent);
        }
    }
    let mut used = Used::default();
    for (&id, &spent) in &ticks {
        let mut above = id;
        while above != root {
            match parents.get(&above) {
                Some(&parent) if parent > 1 => above = parent,
                _ => break,
            }
        }
        if above == root {
            used.cpu += spent as f64 / TICKS_A_SECOND;
            used.resident += resident(id);
        }
    }
    used
}

/// Parent, and ticks in user and system mode. The name may hold spaces, so fields count from its closing bracket.
fn read_stat(stat: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((fields.get(1)?.parse().ok()?, ticks(11)? + ticks(12)?))
}

fn resident(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_shifts_no_field() {
        let stat = "42 (a) (b c) S 7 42 42 0 -1 4194304 1 0 0 0 150 25 0 0 20 0 1";
        assert_eq!(read_stat(stat), Some((7, 175)));
    }

    #[test]
    fn the_own_process_uses_memory() {
        assert!(used(std::process::id()).resident > 0.5);
    }
}
