//! The load: a closed loop over kept connections that reads and checks every answer.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::mock::{WORD, WORDS};
use crate::process::used;

/// Requests of each connection before the clock starts: connections to the mock are opened by then.
const WARM: u64 = 5;
/// With learning on, a user's verdict on every so many answers.
const SIGNAL_EVERY: u64 = 10;

/// Somebody who answers.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) model: String,
    pub(crate) headers: HeaderMap,
    /// The process whose tree is measured.
    pub(crate) process: u32,
    /// Whether it learns: its answers are judged.
    pub(crate) learns: bool,
}

/// What is asked, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) stream: bool,
    /// Bytes of the user's message.
    pub(crate) size: usize,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Requests(u64),
}

/// What happened.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Nanoseconds to the end of each answer, and to the first byte of its body.
    pub(crate) whole: Histogram<u64>,
    pub(crate) first: Histogram<u64>,
    /// Requests that were sent, those before the clock started included.
    pub(crate) sent: u64,
    pub(crate) bad: u64,
    pub(crate) problem: Option<String>,
    pub(crate) elapsed: f64,
    pub(crate) cpu: f64,
    pub(crate) resident: f64,
}

impl Slice {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            whole: Histogram::new(3)?,
            first: Histogram::new(3)?,
            sent: 0,
            bad: 0,
            problem: None,
            elapsed: 0.0,
            cpu: 0.0,
            resident: 0.0,
        })
    }

    fn fail(&mut self, problem: String) {
        self.bad += 1;
        self.problem.get_or_insert(problem);
    }
}

/// A chat request with a message of about `size` bytes, some of them escaped as in every real one.
pub(crate) fn body(model: &str, stream: bool, size: usize) -> Bytes {
    let line =
        "The committee met on Tuesday and went through the \"list\" of repairs, one house after the other.\n";
    let text = line.repeat(size.div_ceil(line.len()));
    let messages = serde_json::json!([{ "role": "user", "content": text }]);
    Bytes::from(serde_json::json!({ "model": model, "messages": messages, "stream": stream }).to_string())
}

pub(crate) async fn connect(port: u16) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub(crate) fn request(door: &Door, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::post(&door.path)
        .header(header::HOST, "127.0.0.1")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    request.headers_mut().extend(door.headers.clone());
    Ok(request)
}

/// One answer, read to its end: when its body began, and what a judge says it is of.
struct Answered {
    first: Duration,
    whole: Duration,
    trace: Option<String>,
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    stream: bool,
) -> anyhow::Result<Answered> {
    sender.ready().await?;
    let begun = Instant::now();
    let response = sender.send_request(request).await?;
    let status = response.status();
    let trace = response.headers().get("x-kalibr-trace-id");
    let trace = trace.and_then(|trace| trace.to_str().ok()).map(str::to_owned);
    let mut answer = BytesMut::new();
    let mut first = None;
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            first.get_or_insert_with(|| begun.elapsed());
            answer.extend_from_slice(&data);
        }
    }
    let whole = begun.elapsed();
    anyhow::ensure!(
        status.is_success(),
        "status {status}: {}",
        String::from_utf8_lossy(&answer[..answer.len().min(300)])
    );
    let words = memmem::find_iter(&answer, WORD).count();
    anyhow::ensure!(words == WORDS, "an answer has {words} of its {WORDS} words");
    anyhow::ensure!(!stream || memmem::find(&answer, b"[DONE]").is_some(), "a stream has no [DONE]");
    Ok(Answered { first: first.unwrap_or(whole), whole, trace })
}

/// A user's verdicts, one at a time: those that come while one is under way are not sent.
async fn judge(
    door: &Door,
    mut traces: mpsc::Receiver<String>,
    slice: &RefCell<Slice>,
) -> anyhow::Result<()> {
    let door = Door { path: "/v1/signals".to_owned(), ..door.clone() };
    let mut sender = connect(door.port).await?;
    let mut accepted = false;
    while let Some(trace) = traces.recv().await {
        accepted = !accepted;
        let kind = if accepted { "user_accepted" } else { "user_rejected" };
        let said = serde_json::json!({ "type": kind, "trace_id": trace }).to_string();
        sender.ready().await?;
        let response = sender.send_request(request(&door, Bytes::from(said))?).await?;
        let status = response.status();
        response.into_body().collect().await?;
        if !status.is_success() {
            slice.borrow_mut().fail(format!("a signal was answered with {status}"));
        }
    }
    Ok(())
}

/// Asks for a while over some connections at once. What fails is counted, never hidden.
pub(crate) async fn run(door: &Door, shape: Shape, until: Until) -> anyhow::Result<Slice> {
    let slice = RefCell::new(Slice::new()?);
    let body = body(&door.model, shape.stream, shape.size);
    let warm = async |_: usize| {
        let mut sender = connect(door.port).await?;
        for _ in 0..WARM {
            slice.borrow_mut().sent += 1;
            ask(&mut sender, request(door, body.clone())?, shape.stream).await?;
        }
        anyhow::Ok(sender)
    };
    let warmed = join_all((0..shape.connections).map(warm)).await;
    let (traces, judged) = mpsc::channel(1);
    let begun = Instant::now();
    let before = used(door.process);
    let asking = async |warmed: anyhow::Result<SendRequest<Full<Bytes>>>, traces: mpsc::Sender<String>| {
        let mut sender = match warmed {
            Ok(sender) => sender,
            Err(error) => return slice.borrow_mut().fail(error.to_string()),
        };
        loop {
            let left = match until {
                Until::Elapsed(time) => begun.elapsed() < time,
                Until::Requests(most) => slice.borrow().whole.len() < most,
            };
            if !left {
                return;
            }
            slice.borrow_mut().sent += 1;
            let asked = match request(door, body.clone()) {
                Ok(request) => ask(&mut sender, request, shape.stream).await,
                Err(error) => Err(error),
            };
            let mut slice = slice.borrow_mut();
            match asked {
                Ok(answered) => {
                    // They grow with what they record, so there is no value that they refuse.
                    let _ = slice.whole.record(answered.whole.as_nanos() as u64);
                    let _ = slice.first.record(answered.first.as_nanos() as u64);
                    if door.learns
                        && slice.whole.len() % SIGNAL_EVERY == 0
                        && let Some(trace) = answered.trace
                    {
                        // Full: a verdict is under way, and this answer gets none.
                        let _ = traces.try_send(trace);
                    }
                }
                // A connection that failed is not opened again: the row is void anyway.
                Err(error) => return slice.fail(error.to_string()),
            }
        }
    };
    let asked = join_all(warmed.into_iter().map(|sender| asking(sender, traces.clone())));
    let asked = async {
        asked.await;
        drop(traces);
    };
    if door.learns {
        let ((), judged) = futures_util::future::join(asked, judge(door, judged, &slice)).await;
        if let Err(error) = judged {
            slice.borrow_mut().fail(error.to_string());
        }
    } else {
        asked.await;
    }
    let after = used(door.process);
    let mut slice = slice.into_inner();
    slice.elapsed = begun.elapsed().as_secs_f64();
    slice.cpu = after.cpu - before.cpu;
    slice.resident = after.resident;
    Ok(slice)
}
