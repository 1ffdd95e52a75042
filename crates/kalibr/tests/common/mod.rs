//! The program as a user runs it: a process, a data folder, plain HTTP.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program, with nothing of this machine's environment that it reads.
pub fn kalibr(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kalibr"));
    command.env_clear().env("KALIBR_HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A goal `g` with two paths of a simulated provider.
pub fn configure(home: &Path) {
    let config = r#"
        [providers.sim]
        kind = "simulated"
        models.good = { quality = 1.0 }
        models.poor = { quality = 0.0 }

        [goals.g]
        paths = ["sim/good", "sim/poor"]
    "#;
    std::fs::create_dir_all(home).unwrap();
    std::fs::write(home.join("kalibr.toml"), config).unwrap();
}

pub struct Server {
    process: Child,
    pub addr: String,
}

impl Server {
    pub fn start(home: &Path) -> Self {
        let mut process =
            kalibr(home).args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let addr = addr.unwrap_or_else(|| panic!("the server said {line:?}")).to_owned();
        Self { process, addr }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to stop as a supervisor does, and waits. Returns whether it left well.
    #[cfg(unix)]
    pub fn terminate(mut self) -> bool {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        self.process.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}:");
        self.head.lines().find(|l| l.to_lowercase().starts_with(&prefix)).map(|l| l[prefix.len()..].trim())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// One request on a connection of its own; an error when the server dies under it.
pub fn http(addr: &str, method: &str, path: &str, body: &str) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let cut = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer was cut off");
    let (head, rest) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(cut)?;
    let length =
        head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    if length.is_some_and(|length| rest.len() < length) {
        return Err(cut());
    }
    Ok(Reply { status, head: head.to_owned(), body: rest.to_owned() })
}

/// Asks goal `g`; returns the trace id and the answer.
pub fn ask(addr: &str) -> std::io::Result<(String, String)> {
    let body = r#"{"model":"goal:g","messages":[{"role":"user","content":"hello"}]}"#;
    let reply = http(addr, "POST", "/v1/chat/completions", body)?;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let content = reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    Ok((reply.header("x-kalibr-trace-id").unwrap().to_owned(), content))
}
