//! A provider that does exactly what a test tells it to, byte by byte, which no HTTP library would.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a connection after it has read a request.
#[derive(Clone)]
pub(crate) enum Step {
    /// Sends these bytes at once.
    Send(Vec<u8>),
    /// Keeps silent for so many milliseconds.
    Wait(u64),
}

/// A server on loopback; it ends with the test's runtime.
pub(crate) struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    /// A server that answers every request by the same steps and then closes the connection.
    pub(crate) async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (steps, seen) = (steps.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut connection = connection;
                    let Some(request) = read_request(&mut connection).await else {
                        return;
                    };
                    seen.lock().unwrap().push(request);
                    for step in steps {
                        match step {
                            Step::Send(bytes) if connection.write_all(&bytes).await.is_err() => return,
                            Step::Send(_) => {}
                            Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                        }
                    }
                });
            }
        });
        Self { port, requests }
    }

    /// A server that answers with this status, headers and body.
    pub(crate) async fn answering(status: u16, headers: &str, body: &str) -> Self {
        Self::start(vec![Step::Send(response(status, headers, body))]).await
    }

    /// A server that streams these pieces as one chunk each, a few milliseconds apart, and ends the body properly.
    pub(crate) async fn streaming<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Self {
        let mut steps = stream_steps(pieces);
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        Self::start(steps).await
    }

    /// Where it is.
    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// The head of the only request in lower case, and its body.
    pub(crate) fn only_request(&self) -> (String, Vec<u8>) {
        let requests = self.requests.lock().unwrap();
        assert_eq!(requests.len(), 1);
        let end = head_end(&requests[0]).unwrap();
        (String::from_utf8(requests[0][..end].to_vec()).unwrap().to_lowercase(), requests[0][end..].to_vec())
    }
}

/// A whole response.
pub(crate) fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The head of a stream and its pieces, without the end of the body.
pub(crate) fn stream_steps<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Vec<Step> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut steps = vec![Step::Send(head.as_bytes().to_vec())];
    for piece in pieces {
        let piece = piece.as_ref();
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        steps.extend([Step::Send(chunk), Step::Wait(2)]);
    }
    steps
}

fn head_end(request: &[u8]) -> Option<usize> {
    request.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

async fn read_request(connection: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if connection.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        let Some(end) = head_end(&request) else { continue };
        let head = std::str::from_utf8(&request[..end]).ok()?.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        if request.len() >= end + length.parse::<usize>().ok()? {
            return Some(request);
        }
    }
}
