//! Keeps web pages out of a server without keys.
//!
//! A page that the user of this machine visits can send requests to 127.0.0.1. Browsers keep it from reading the
//! answers, unless it rebinds its own name to 127.0.0.1: then its requests carry that name as `Host`. Browsers also put
//! the page's address into `Origin` for everything that could change something. So both must be of this machine.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::error::ApiError;

/// Lets a request through if it was meant for this machine and does not come from a page of another.
pub(crate) async fn local_only(request: Request, next: Next) -> Result<Response, ApiError> {
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_local(host),
        _ => false,
    };
    // A request line with a whole URL overrules the Host header.
    let addressed = request.uri().host().is_none_or(is_loopback_name);
    if !named || !addressed {
        let message = "the Host header names another machine, or none: call this server as 127.0.0.1 or localhost; a \
                       proxy in front must send it as Host: 127.0.0.1";
        return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", message));
    }
    if !headers.get_all(header::ORIGIN).iter().all(is_local_origin) {
        let message = "web pages from elsewhere may not call this server; call it from a program, or from a page that \
                       this machine serves";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "cross_site", message));
    }
    Ok(next.run(request).await)
}

/// Whether a `Host` header, with or without a port, names this machine.
fn is_local(host: &HeaderValue) -> bool {
    host.to_str().is_ok_and(|host| is_loopback_name(without_port(host)))
}

fn is_local_origin(origin: &HeaderValue) -> bool {
    let host = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    host.is_some_and(|host| is_loopback_name(without_port(host)))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

fn is_loopback_name(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<std::net::IpAddr>() {
        return ip.to_canonical().is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // RFC 6761: every name below localhost is this machine.
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_this_machine_are_local_with_any_port() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8600",
            "localhost:1",
            "LOCALHOST",
            "[::1]:8600",
            "[::1]",
            "app.localhost:80",
        ] {
            assert!(is_local(&HeaderValue::from_static(host)), "{host}");
        }
    }

    #[test]
    fn other_names_are_not_local_however_they_are_dressed_up() {
        for host in [
            "",
            "evil.example",
            "evil.example:8600",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "10.0.0.1",
            "[2001:db8::1]:80",
            "evil.example@127.0.0.1",
            "127.0.0.1/evil",
        ] {
            assert!(!is_local(&HeaderValue::from_static(host)), "{host}");
        }
    }

    #[test]
    fn an_origin_is_local_only_as_a_page_of_this_machine() {
        for (origin, local) in [
            ("http://localhost:3000", true),
            ("https://127.0.0.1", true),
            ("http://[::1]:5173", true),
            ("https://evil.example", false),
            ("null", false),
            ("file://", false),
            ("chrome-extension://localhost", false),
        ] {
            assert_eq!(is_local_origin(&HeaderValue::from_static(origin)), local, "{origin}");
        }
    }
}
